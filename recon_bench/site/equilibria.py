"""How well the equilibria of methods are found, and which gradient trains them better, as rows of tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recon_bench.results import Json, Result, latest
from recon_bench.site.model import Site
from recon_bench.site.text import fixed
from recon_bench.tables.board import Board
from recon_bench.tables.columns import bootstrap, scalars, summary
from recon_bench.tables.statistics import Interval, interval

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
    """Mean PSNR of each rule, and how far it is from the reference on the images of the seeds that both have."""
    records = [record for record in result.records if not record["error"]]
    names = [metric["name"] for metric in result.measurement["metrics"] if metric["name"].startswith("psnr_")]
    for name in names:
        rule = name.removeprefix("psnr_")
        psnr, samples = ([r["values"][key] for r in records if key in r["values"]] for key in (name, f"samples_{rule}"))
        if not psnr:
            continue
        gaps = {} if rule == REFERENCE else differences(records, name, f"psnr_{REFERENCE}")
        found = interval(np.array(means(gaps, 0)), **bootstrap(result)) if gaps else None
        seeds = means(gaps, 1)
        yield {
            "title": result.method["title"],
            "rule": rule,
            "psnr": fixed(math.fsum(psnr) / len(psnr), 2),
            "samples": fixed(math.fsum(samples) / len(samples), 0) if samples else "–",
            "difference": f"{fixed(found.value, 2)} [{fixed(found.low, 2)}, {fixed(found.high, 2)}]" if found else "–",
            "seeds": ", ".join(fixed(gap, 2) for gap in seeds) or "–",
            "verdict": verdict(found, seeds) if found else "",
        }


def differences(records: Sequence[Json], one: str, other: str) -> dict[tuple[str, int], float]:
    """``one`` metric minus the ``other`` by image and seed, where both are known."""
    both = [record for record in records if {one, other} <= record["values"].keys()]
    return {(r["sample"], r["seed"]): r["values"][one] - r["values"][other] for r in both}


def means(values: Mapping[tuple[str, int], float], place: int) -> list[float]:
    """Means over what has the same image (``place`` 0) or the same seed (1), in their order."""
    groups: dict[Any, list[float]] = {}
    for key, value in sorted(values.items()):
        groups.setdefault(key[place], []).append(value)
    return [math.fsum(group) / len(group) for _, group in sorted(groups.items())]


def verdict(found: Interval, seeds: Sequence[float]) -> str:
    """In words: a difference is one whose interval leaves out zero and that has the same sign for every seed."""
    if found.low <= 0 <= found.high or min(seeds) < 0 < max(seeds):
        return "no difference seen"
    return f"{'better' if found.value > 0 else 'worse'} than {REFERENCE}"
