"""How well the equilibria of methods are found, as rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from recon_bench.results import Result
from recon_bench.site.model import Site
from recon_bench.site.text import fixed
from recon_bench.tables.board import Board
from recon_bench.tables.columns import scalars, summary

KIND = "fixed-point"


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
