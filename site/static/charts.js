// Draws every figure.chart from the JSON inside it with ECharts; the table beside it holds the same numbers.
"use strict";

const DASHES = ["solid", "dashed", "dotted", [9, 3, 2, 3], [14, 4]]; // of lines
const MOST_SYMBOLS = 60; // of a line: more would hide it
const SYMBOLS = ["circle", "rect", "triangle", "diamond", "roundRect", "pin", "arrow", "emptyCircle"];

function scheme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: colour("ink"), soft: colour("soft"), rule: colour("rule"), paper: colour("raised"), sans: colour("sans"),
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((i) => colour(`c${i}`)),
  };
}

function escapeText(text) {
  return String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

function number(value, unit) {
  const size = Math.abs(value);
  const rounded = Number(value.toPrecision(unit === "s" ? 3 : 4));
  return size !== 0 && (size < 1e-4 || size >= 1e5) ? rounded.toExponential() : String(rounded);
}

function axis(spec, c, place) {
  const vertical = place === "y";
  return {
    type: spec.log ? "log" : "value", scale: true, name: spec.unit ? `${spec.title} (${spec.unit})` : spec.title,
    nameLocation: vertical ? "end" : "middle", nameGap: vertical ? 14 : 32,
    nameTextStyle: { color: c.soft, align: vertical ? "left" : "center", padding: vertical ? [0, 0, 0, -38] : 0 },
    axisLabel: { color: c.soft, hideOverlap: true, formatter: (value) => number(value, spec.unit) }, axisLine: { show: !vertical, lineStyle: { color: c.rule } },
    splitLine: { lineStyle: { color: c.rule, type: vertical ? "solid" : "dotted" } },
  };
}

// Rows that a legend of these names takes in a plot of this width, in pixels.
function legendRows(names, width) {
  return Math.ceil(names.reduce((sum, name) => sum + 7 * name.length + 58, 0) / (width - 30));
}

function frame(spec, c, names, width) {
  const rows = names.length > 1 ? legendRows(names, width) : 0;
  return {
    animation: false, backgroundColor: "transparent", textStyle: { fontFamily: c.sans, color: c.ink }, aria: { enabled: false },
    color: c.series, grid: { left: 54, right: 28, top: 44 + 24 * (rows > 3 ? 1 : rows), bottom: 54 },
    legend: { show: rows > 0, type: rows > 3 ? "scroll" : "plain", top: 8, left: 10, right: 10, textStyle: { color: c.ink }, data: [...new Set([...(spec.first ?? []), ...names])], selected: selected(spec, names),
      pageTextStyle: { color: c.soft }, pageIconColor: c.ink, inactiveColor: spec.first ? c.soft : c.rule, itemWidth: spec.kind === "curve" ? 30 : 12, itemHeight: 12, itemGap: 14 },
    tooltip: { trigger: "item", confine: true, backgroundColor: c.paper, borderColor: c.rule, textStyle: { color: c.ink } },
    xAxis: axis(spec.x, c, "x"), yAxis: axis(spec.y, c, "y"),
  };
}

// The lines that a chart begins with; the legend brings the others.
function selected(spec, names) {
  return Object.fromEntries(names.map((name) => [name, !spec.first || spec.first.includes(name)]));
}

// A vertical line from low to high with caps: the interval of one point.
function whiskers(points, colour, name) {
  return {
    type: "custom", name, silent: true, z: 1, encode: { x: 0, y: [1, 2] }, data: points.map((p) => [p.x, p.low, p.high]), tooltip: { show: false },
    renderItem(_, api) {
      const [x, low] = api.coord([api.value(0), api.value(1)]);
      const high = api.coord([api.value(0), api.value(2)])[1];
      const line = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: { stroke: colour, lineWidth: 1.3, opacity: 0.75 } });
      return { type: "group", children: [line(x, low, x, high), line(x - 4, low, x + 4, low), line(x - 4, high, x + 4, high)] };
    },
  };
}

function tip(spec, point) {
  const interval = point.low == null ? "" : ` [${number(point.low, spec.y.unit)}, ${number(point.high, spec.y.unit)}]`;
  return `<b>${escapeText(point.name)}</b><br>${escapeText(spec.y.title)}: ${number(point.y, spec.y.unit)}${interval} ${escapeText(spec.y.unit)}` +
    `<br>${escapeText(spec.x.title)}: ${number(point.x, spec.x.unit)} ${escapeText(spec.x.unit)}`;
}

function drawSeries(spec, c, width) {
  const option = frame(spec, c, spec.series.map((series) => series.name), width);
  option.tooltip.formatter = (item) => tip(spec, item.data.point);
  const place = (series, index) => (series.colour ?? index) % c.series.length;
  option.series = spec.series.flatMap((series, index) => {
    const colour = c.series[place(series, index)];
    const before = spec.series.slice(0, index).filter((other, i) => place(other, i) === place(series, index)).length;
    // Lines of a family share its colour; otherwise neighbours differ in both colour and dashes.
    const [style, turn] = series.colour == null ? [index, Math.floor(index / (c.series.length * DASHES.length))]
      : [before, spec.kind === "curve" ? Math.floor(before / DASHES.length) : 0];
    const chosen = (point) => (series.marked ?? []).includes(point.x);
    const points = series.points.map((point) => ({ value: [point.x, point.y], point, symbolSize: chosen(point) ? 14 : undefined }));
    const main = {
      name: series.name, type: spec.kind === "curve" ? "line" : "scatter", data: points, z: 3, symbolSize: spec.kind === "curve" ? 7 : 11,
      symbol: SYMBOLS[(place(series, index) + turn) % SYMBOLS.length], itemStyle: { color: colour },
      lineStyle: { color: colour, width: 2, type: DASHES[style % DASHES.length] }, showSymbol: points.length <= MOST_SYMBOLS,
      label: { show: spec.kind !== "curve", position: "right", color: c.ink, fontSize: 11, formatter: (item) => item.data.point.name },
      // Names stand below the front's line, and on the other side of a point where they would leave the plot.
      labelLayout: ({ labelRect, rect }) => ({ hideOverlap: true, dy: 9, ...(labelRect.x + labelRect.width > width ? { x: rect.x - 4, align: "right" } : {}) }),
      emphasis: { focus: "series", label: { show: true } },
    };
    const intervals = series.points.filter((point) => point.low != null);
    return intervals.length ? [main, whiskers(intervals, colour, series.name)] : [main];
  });
  if (spec.front) {
    option.series.push({ type: "line", name: "front", data: spec.front, step: "end", silent: true, symbol: "none",
      z: 0, tooltip: { show: false }, lineStyle: { color: c.soft, width: 1.5, type: "dashed" } });
  }
  return option;
}

function draw(plot) {
  const spec = JSON.parse(plot.parentElement.querySelector('script[type="application/json"]').textContent);
  echarts.getInstanceByDom(plot)?.dispose();
  const chart = echarts.init(plot, null, { renderer: "svg" });
  chart.setOption(drawSeries(spec, scheme(), plot.clientWidth));
  chart.on("click", (item) => item.data.point?.url && (location.href = item.data.point.url));
}

document.addEventListener("DOMContentLoaded", () => {
  const plots = [...document.querySelectorAll("figure.chart .plot")];
  const drawn = () => plots.filter((plot) => echarts.getInstanceByDom(plot));
  // A page may hold a chart for each task: draw those that come near the screen.
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "400px" });
  plots.forEach((plot) => near.observe(plot));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn().forEach(draw));
  new ResizeObserver(() => drawn().forEach((plot) => echarts.getInstanceByDom(plot).resize())).observe(document.body);
});
