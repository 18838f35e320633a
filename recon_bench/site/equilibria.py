"""How well the equilibria of methods are found, and which gradient trains them better, as rows of tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from recon_bench.results import Result, latest
from recon_bench.site.model import Site
from recon_bench.site.text import fixed
from recon_bench.tables.board import Board
from recon_bench.tables.columns import scalars, summary
from recon_bench.tables.statistics import Interval, difference

KIND, RULES = "fixed-point", "backward-rules"
REFERENCE = "jacobian-free"  # the rule that costs least: the others are compared with it


def rows(site: Site, board: Board) -> list[dict[str, Any]]:
    """One for each method that looks for a fixed point, what failed too, by title."""
    known = [cell for (_, kind), cell in board.cells.items() if kind == KIND and cell.status != "not-applicable"]
    return [row(site, result) for result in sorted(known, key=lambda result: result.method["title"])]


def row(site: Site, result: Result) -> dict[str, Any]:
    """Means over images, those that did not converge, and what is to be said of single ones."""
    method, converged = result.method, scalars(result, "converged")
    means = {name: found.value for name, found in summary(result).items()}
    shown = {m["name"]: fixed(means.get(m["name"]), m["digits"]) for m in result.measurement["metrics"]}
    open_ = len(converged) - round(sum(converged.values()))
    return {
        "method": method["name"] if method["name"] in site.methods() else "",
        "title": method["title"],
        "open": f"{open_} of {len(converged)}" if converged else "–",
        "tone": "bad" if open_ else "good" if converged else "",
        "rule": method["settings"].get("backward", "–"),
        "values": shown,
        "remarks": "; ".join(remarks(result)),
    }


def remarks(result: Result) -> Iterator[str]:
    """Why there are no values, and the commonest error and note of its images."""
    if result.status != "ok" and not result.records:
        yield f"{result.status}: {result.reason}"
    for kind in ("error", "note"):
        said = Counter(record[kind] for record in result.records if record[kind])
        if said:
            text, _ = said.most_common(1)[0]
            yield f"{said.total()} of {len(result.records)} images: {text}"


def trainings(site: Site, board: Board) -> list[dict[str, Any]]:
    """One for each method and backward rule that it was trained by, beside the reference rule on the same images."""
    aside = site.aside.get((board.task, board.rules["name"]), [])
    own = [
        r for r in aside if r.kind == RULES and (r.task["hash"], r.rules["hash"]) == (board.hash, board.rules["hash"])
    ]
    return [line for result in latest(own) for line in compared(result)]


def compared(result: Result) -> Iterator[dict[str, Any]]:
    """Mean PSNR of each rule, and how far it is from the reference; a difference is one whose interval leaves out 0."""
    images = [record["values"] for record in result.records if not record["error"]]
    names = [metric["name"] for metric in result.measurement["metrics"]]
    psnr = {name: np.array([values[name] for values in images]) for name in names if all(name in v for v in images)}
    base = psnr.get(f"psnr_{REFERENCE}")
    for name, values in psnr.items():
        rule = name.removeprefix("psnr_")
        found = difference(values, base) if base is not None and rule != REFERENCE else None
        yield {
            "title": result.method["title"],
            "rule": rule,
            "psnr": fixed(float(values.mean()), 2),
            "difference": f"{fixed(found.value, 2)} [{fixed(found.low, 2)}, {fixed(found.high, 2)}]" if found else "–",
            "verdict": verdict(found) if found else "",
        }


def verdict(found: Interval) -> str:
    """In words."""
    if found.low <= 0 <= found.high:
        return "no difference seen"
    return f"{'better' if found.value > 0 else 'worse'} than {REFERENCE}"
