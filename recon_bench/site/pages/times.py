"""Time: seconds per image of every method on each machine that measured some."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from recon_bench.site.addresses import link
from recon_bench.site.cells import EMPTY, cell, named
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.task_parts import task_header
from recon_bench.site.text import significant
from recon_bench.tables.board import Board
from recon_bench.tables.times import Machine, machines


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A section for each task that has times, in the order of the front page."""
    found = [(board, timed) for board in site.main() if (timed := machines(board))]
    return {"sections": [section(site, here, board, timed) for board, timed in found]}


def section(site: Site, here: str, board: Board, timed: Sequence[Machine]) -> dict[str, Any]:
    """A table with two columns for each machine; the quickest on the first machine come first."""
    methods = {name: result.method for machine in timed for name, result in machine.results.items()}
    measured = {name for machine in timed for name in machine.values}
    order = sorted(measured, key=lambda name: [_seconds(machine, name) for machine in timed])
    return task_header(site, board) | {
        "href": link(here, "board", site.stem(board)),
        "machines": [{"where": machine.where, "version": machine.version} for machine in timed],
        "rows": [row(methods[name], timed) for name in order],
    }


def row(method: Mapping[str, Any], timed: Sequence[Machine]) -> dict[str, Any]:
    """A row of the table; a method that was not timed somewhere has its reason there."""
    return named(method) | {"cells": [part for machine in timed for part in cells_of(machine, method["name"])]}


def cells_of(machine: Machine, name: str) -> list[dict[str, str]]:
    """Seconds, and how many times those of FBP."""
    if name not in machine.values:
        status = machine.results[name].status.replace("-", " ") if name in machine.results else "–"
        return [EMPTY | {"text": status}, EMPTY]
    found = machine.values[name]
    return [cell(found[metric], significant) if metric in found else EMPTY for metric in ("seconds", "times_fbp")]


def _seconds(machine: Machine, name: str) -> float:
    return machine.values[name]["seconds"].value if name in machine.values else math.inf


PAGE = Page("times", "times.html", content, section="times", menu="Time", order=3)
