"""Robustness: errors under attack over its size, what amplifies how much, corrupted data, and two published claims."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from recon_bench.data import corruptions as data
from recon_bench.results import Result
from recon_bench.site.cells import Write, cell, digits, named, number
from recon_bench.site.charts import BEGINS_WITH, Figure, beginning
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.task_parts import places, task_header, unmeasured
from recon_bench.site.text import significant
from recon_bench.tables import claims, corruptions
from recon_bench.tables import robustness as tables
from recon_bench.tables.board import Board
from recon_bench.tables.corruptions import Heat
from recon_bench.tables.robustness import KIND, Row
from recon_bench.tables.statistics import Interval

TONES = {claims.HOLDS: "good", claims.FAILS: "bad", claims.MIXED: "warn", claims.OPEN: ""}
COLUMNS = (  # of the table of perturbations, with unit, which is better, and digits
    ("psnr", "PSNR before", "dB", "higher", 2),
    ("attacked_psnr", "PSNR under attack", "dB", "higher", 2),
    ("error", "Error under attack", "", "lower", 3),
    ("amplification", "Amplification", "", "lower", 2),
    ("over_random", "Attack over noise", "", "lower", 2),
    ("misfit_before", "Misfit before", "", "lower", 4),
    ("misfit_after", "Misfit after", "", "lower", 4),
    ("joint", "One for all", "", "lower", 3),
    ("local_before", "Region before", "", "lower", 3),
    ("local", "Region under attack", "", "lower", 3),
    ("reached", "Size reached", "", "higher", 4),
    ("gain", "Gain", "", "lower", 4),
    ("steps", "Steps", "", "higher", 0),
    ("attained", "Of exact", "", "higher", 4),
    ("images", "Images", "", "higher", 0),
)
DIGITS = {name: digits for name, *_, digits in COLUMNS}


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A section for each task that has such results, in the order of the front page."""
    found = {board.task: (board, results) for board in site.main() if (results := of_board(board))}
    parts = [section(site, board, results) for board, results in found.values()]
    judged = [part for part in parts if part["rows"]]
    rules = {"margin": tables.MARGIN, "about": claims.ABOUT, "bad": claims.BAD, "consistent": claims.CONSISTENT}
    columns = [dict(zip(("name", "title", "unit", "better"), column)) for column in COLUMNS]
    told = {name: f"{value:g}" for name, value in rules.items()} | {"growth": f"{tables.GROWTH:g}"}
    return {
        "sections": parts,
        "places": places("robustness", (board for board, _ in found.values()), site),
        "judged": judged,
        "open": claims.OPEN,
        "claims": [{"text": text, "source": source} for text, source in claims.TEXTS],
        "columns": columns,
        "rules": told,
        "shown": corruptions.SHOWN,
        "kinds": explained(),
    }


def explained() -> list[dict[str, str]]:
    """The kinds of corrupted data, each with what its severities are."""
    return [
        {"kind": kind.replace("-", " "), "what": " ".join((corrupt.__doc__ or "").split())}
        for kind, corrupt in data.KINDS.items()
    ]


def of_board(board: Board) -> list[Result]:
    """What counts of both kinds for a board."""
    return [result for (_, kind), result in sorted(board.cells.items()) if kind in (KIND, corruptions.KIND)]


def section(site: Site, board: Board, found: Sequence[Result]) -> dict[str, Any]:
    """All about one task; methods in the order of their error under attack."""
    known = tables.rows(found)
    measured = [row for row in known if row.images.get(row.reported)]
    curves = [row for row in known if any(values for level, values in row.images.items() if level)]
    header, heat, judged = task_header(site, board)["task"], corruptions.heat(found), claims.claims(known)
    return header | {
        "level": f"{100 * measured[0].reported:g}" if measured else "",
        "charts": [make(header["name"], curves) for make in (figure, psnr_figure)] if curves else [],
        "rows": [shown(row) for row in measured],
        "claims": [judgement(claim) for claim in judged],
        "both": all(claim.verdict == claims.HOLDS for claim in judged[:2]),
        "kinds": list(dict.fromkeys(kind for each in heat for kind in each.ratios)),
        "severities": sorted({severity for each in heat for severity in each.by_severity}),
        "heat": [warmth(each) for each in heat],
        "strips": [strip(site, row) for row in measured if row.result.images],
        "absent": [*absent(known), *corruptions_absent(found)],
        "unmeasured": [
            (unmeasured(board, KIND), "Attacks"),
            (unmeasured(board, corruptions.KIND), "Corrupted data"),
        ],
    }


def judgement(claim: claims.Claim) -> dict[str, Any]:
    """A verdict, and what it would be under other choices where that is another."""
    others = ["the attack on total variation itself was still growing"] * claim.lower
    others += [f"{said}: {verdict}" for said, verdict in claim.others if verdict not in (claim.verdict, claims.OPEN)]
    return vars(claim) | {"tone": TONES[claim.verdict], "others": "; ".join(others)}


def figure(task: str, measured: Sequence[Row]) -> Figure:
    """The mean relative error over the size of the perturbation."""
    caption = (
        "The worst found at each size, means over the same images; bars are 95 % bootstrap intervals. "
        f"{BEGINS_WITH} {steps(measured)} At the size of the table below queries and surrogates were tried beside the "
        "gradient, at the other sizes not. The error with random noise of the same size is in the table."
    )
    table = [
        [*line, number(row.mean("random", level).value, digits(4))["text"]]
        for row in measured
        for level, line in zip(row.images, _lines(row, "error", 4))
    ]
    y = {"title": "Relative error", "unit": "", "better": "lower", "log": True}
    spec = _curve(measured, "error", y)
    heads = ["Method", "Size (%)", "Error under attack", "Interval", "Error with noise"]
    return Figure(f"{task}-robustness", "Error under attack over its size, by method", caption, spec, heads, table)


def steps(measured: Sequence[Row]) -> str:
    """How many steps the attack of most images had at each size."""
    taken: dict[float, Counter[float]] = {}
    for row in measured:
        for level in row.images:
            taken.setdefault(level, Counter()).update(row.values("steps", level).values())
    usual = {level: count.most_common(1)[0][0] for level, count in sorted(taken.items()) if count}
    by_steps = {count: [level for level in usual if usual[level] == count] for count in sorted({*usual.values()})}
    said = [
        f"{count:.0f} steps at {' %, '.join(significant(100 * level) for level in levels)} %"
        for count, levels in by_steps.items()
    ]
    begun = "; a smaller size begins with what was found at the larger ones. Compare methods at a size"
    return f"Most attacks had {', '.join(said)}{begun}." if said else ""


def psnr_figure(task: str, measured: Sequence[Row]) -> Figure:
    """The mean PSNR over the size of the perturbation."""
    caption = f"The PSNR of the same images; bars are 95 % bootstrap intervals. {BEGINS_WITH}"
    table = [line for row in measured for line in _lines(row, "psnr", 2)]
    spec = _curve(measured, "psnr", {"title": "PSNR", "unit": "dB", "better": "higher", "log": False})
    heads = ["Method", "Size (%)", "PSNR under attack (dB)", "Interval"]
    return Figure(f"{task}-robustness-psnr", "PSNR under attack over its size, by method", caption, spec, heads, table)


def _curve(measured: Sequence[Row], metric: str, y: dict[str, Any]) -> dict[str, Any]:
    series = []
    for row in measured:
        title, points = row.result.method["title"], []
        for level in row.images:
            found = row.mean(metric, level)
            ends = {} if math.isnan(found.low) else {"low": found.low, "high": found.high}
            points.append({"name": title, "x": 100 * level, "y": found.value} | ends)
        series.append({"name": title, "points": points})
    x = {"title": "Size of the perturbation", "unit": "% of |y|", "log": False}
    clean = [(row.result.method, row.mean("psnr", 0.0).value) for row in measured]
    return {"kind": "curve", "x": x, "y": y} | beginning(series, clean)


def _lines(row: Row, metric: str, count: int) -> list[list[str]]:
    """A line of the table below a chart for each level, with ``count`` digits."""
    write = digits(count)
    means = {level: row.mean(metric, level) for level in row.images}
    return [
        [
            row.result.method["title"],
            significant(100 * level),
            number(found.value, write)["text"],
            _between(found, write),
        ]
        for level, found in means.items()
    ]


def shown(row: Row) -> dict[str, Any]:
    """A row of the table, as text and as what it is sorted by."""
    cells = {name: cell(value, digits(DIGITS[name])) for name, value in tables.facts(row).items()}
    return named(row.result.method, *row.flags) | {"cells": cells, "flags": ", ".join(row.flags)}


def warmth(each: Heat) -> dict[str, Any]:
    """A row of the heat map: ratios by kind and by severity, each with how warm its cell is, from 0 (half of FBP's)
    to 100."""
    shown: dict[str | int, float] = dict(each.ratios) | dict(each.by_severity)
    cells = {
        place: {"warm": round(100 * min(1.0, max(0.0, (ratio - 0.5) / 1.5)))} | number(ratio, digits(2))
        for place, ratio in shown.items()
    }
    return named(each.result.method) | {"cells": cells, "all": cell(each.of_reference, digits(2))}


def strip(site: Site, row: Row) -> dict[str, Any]:
    """Before the perturbation, the perturbation, and with it."""
    result, title = row.result, row.result.method["title"]
    assert result.path is not None
    panels = [result.images[name] for name in sorted(result.images)]
    return {"title": title, "pictures": [p for image in panels for p in site.picture(result.path.parent, image, title)]}


def absent(known: Sequence[Row]) -> Iterator[dict[str, str]]:
    """What could not be measured, or not of all images, with the reason."""
    for row in known:
        reason = row.missing[0] if row.missing else row.result.reason or ""
        if row.missing or row.result.status != "ok":
            yield {"title": row.result.method["title"], "status": row.result.status, "reason": reason}


def corruptions_absent(found: Sequence[Result]) -> Iterator[dict[str, str]]:
    """Results on corrupted data that are not whole, with the reason."""
    for result in found:
        if result.kind == corruptions.KIND and result.status != "ok":
            title = f"{result.method['title']}, corrupted data"
            yield {"title": title, "status": result.status, "reason": result.reason or ""}


def _between(found: Interval, write: Write) -> str:
    return "–" if math.isnan(found.low) else f"{write(found.low)} to {write(found.high)}"


PAGE = Page("robustness", "robustness.html", content, section="robustness", menu="Robustness", order=5)
