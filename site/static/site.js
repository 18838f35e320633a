// The leaderboard's sort, filter and column chooser, with the whole view kept in the query of the address; copy buttons.
"use strict";
document.documentElement.classList.add("js");

const FILTERS = ["family", "track"];

function readView(defaults) {
  const query = new URLSearchParams(location.search);
  const list = (name) => (query.has(name) ? query.get(name).split(",").filter(Boolean) : null);
  const [key, direction] = (query.get("sort") || defaults.sort).split(".");
  const filters = Object.fromEntries(FILTERS.map((name) => [name, list(name) || []]));
  return { key, direction, text: query.get("q") || "", ...filters, columns: list("columns") || defaults.columns };
}

function writeView(view, defaults) {
  const query = new URLSearchParams();
  const sort = `${view.key}.${view.direction}`;
  if (sort !== defaults.sort) query.set("sort", sort);
  if (view.text) query.set("q", view.text);
  for (const name of FILTERS) if (view[name].length) query.set(name, view[name].join(","));
  if (view.columns.join() !== defaults.columns.join()) query.set("columns", view.columns.join(","));
  const text = query.toString().replaceAll("%2C", ",");
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : "") + location.hash);
}

const NEAREST = "nearest 1";

function compareRows(key, direction, better) {
  const sign = direction === "desc" ? -1 : 1;
  const place = (value) => (better === NEAREST ? Math.abs(value - 1) : value);
  const raw = (row) => row.querySelector(`[data-column="${CSS.escape(key)}"]`)?.dataset.value ?? "";
  return (one, other) => {
    const [a, b] = [raw(one), raw(other)];
    // A failure has no value and stays below, whichever way the column is sorted.
    if (a === "" || b === "") return (a === "") - (b === "") || one.dataset.order - other.dataset.order;
    const difference = isNaN(a) || isNaN(b) ? a.localeCompare(b) : place(a) - place(b);
    return sign * difference || one.dataset.order - other.dataset.order;
  };
}

function board(root) {
  const table = root.querySelector("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.querySelectorAll("th[data-column]")];
  const known = new Set(heads.filter((head) => head.querySelector("button")).map((head) => head.dataset.column));
  const boxes = (name) => [...root.querySelectorAll(`input[name="${name}"]`)];
  const search = root.querySelector('input[type="search"]');
  const count = root.querySelector("[data-count]");
  const defaults = { sort: table.dataset.sort, columns: boxes("columns").filter((box) => box.defaultChecked).map((box) => box.value) };
  const choosable = new Set(boxes("columns").map((box) => box.value));
  const view = readView(defaults);
  if (!known.has(view.key) || !["asc", "desc"].includes(view.direction)) [view.key, view.direction] = defaults.sort.split(".");

  function show() {
    for (const head of heads) {
      const sorted = head.dataset.column === view.key;
      if (sorted) head.setAttribute("aria-sort", view.direction === "desc" ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const chosen = heads.find((head) => head.dataset.column === view.key);
    body.append(...rows.sort(compareRows(view.key, view.direction, chosen.dataset.better)));
    const words = view.text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.dataset.text.toLowerCase();
      const ticked = FILTERS.every((name) => !view[name].length || view[name].includes(row.dataset[name]));
      row.hidden = !(ticked && words.every((word) => text.includes(word)));
      shown += !row.hidden;
    }
    for (const cell of table.querySelectorAll("[data-column]")) {
      cell.hidden = choosable.has(cell.dataset.column) && !view.columns.includes(cell.dataset.column);
    }
    // A method without any value has one cell for its reason, as wide as the columns that are shown.
    const wide = heads.filter((head) => !head.hidden && head.classList.contains("n") && head.dataset.column !== "rank").length;
    for (const cell of table.querySelectorAll("[data-span]")) {
      cell.hidden = wide === 0;
      cell.colSpan = Math.max(1, wide);
    }
    for (const box of boxes("columns")) box.checked = view.columns.includes(box.value);
    for (const name of FILTERS) for (const box of boxes(name)) box.checked = view[name].includes(box.value);
    if (search.value !== view.text) search.value = view.text;
    const ends = chosen.dataset.better === NEAREST ? ["nearest to 1", "farthest from 1"] : ["low", "high"];
    const [from, to] = view.direction === "desc" ? ends.reverse() : ends;
    count.textContent = `${shown} of ${rows.length} methods shown, sorted by ${chosen.querySelector("button").textContent} from ${from} to ${to}`;
    writeView(view, defaults);
  }

  for (const head of heads) {
    head.querySelector("button")?.addEventListener("click", () => {
      const better = head.dataset.better === "higher" ? "desc" : "asc";
      const flipped = view.direction === "desc" ? "asc" : "desc";
      [view.key, view.direction] = [head.dataset.column, view.key === head.dataset.column ? flipped : better];
      show();
    });
  }
  search.addEventListener("input", () => ((view.text = search.value), show()));
  for (const name of [...FILTERS, "columns"]) {
    for (const box of boxes(name)) {
      box.addEventListener("change", () => {
        view[name] = boxes(name).filter((each) => each.checked).map((each) => each.value);
        show();
      });
    }
  }
  root.querySelector("[data-reset]").addEventListener("click", () => {
    const [key, direction] = defaults.sort.split(".");
    Object.assign(view, { key, direction, text: "", family: [], track: [], columns: defaults.columns });
    show();
  });
  show();
}

async function copyCommand(button) {
  const text = button.closest(".command").querySelector("code");
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    // Some browsers forbid the clipboard to pages from disk: select the text, so that one key press copies it.
    getSelection().selectAllChildren(text);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-board]").forEach(board);
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", () => copyCommand(button)));
});
