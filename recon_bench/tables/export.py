"""A board and all that stands behind it as plain data: the JSON of the command line and that of the site are this."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from typing import Any

import pandas as pd

from recon_bench.results import Result
from recon_bench.tables.board import RANKING_KIND, Board, curves, ledger, pareto, raw

MEANINGS = {
    "images": "Test images scored, at most",
    "tuning_evaluations": "Settings each method may try",
    "tuning_images": "Validation images each try is scored on",
    "seeds": "Seeds of methods that draw random numbers",
    "warmup": "Reconstructions before the clock starts",
    "repeats": "Timed reconstructions, of which the median counts",
    "timing_seconds": "Seconds that the repeats may take, else there are fewer",
    "batch_pixels": "Pixels reconstructed at once, at most",
    "cell_minutes": "Minutes after which a cell is stopped",
    "bootstrap": "Bootstrap draws of an interval",
    "confidence": "Confidence of an interval",
}


def board_data(board: Board) -> dict[str, Any]:
    """The whole board with the runs behind it, the ledgers and curves, by method; None where there is no value."""
    runs: dict[str, dict[str, Any]] = {}
    for (method, kind), cell in sorted(board.cells.items()):
        runs.setdefault(method, {})[kind] = run(cell)
    tuned = {method: cell for (method, kind), cell in sorted(board.cells.items()) if cell.traits["ledger"]}
    front = board.frame["method"][pareto(board.frame)]
    return {
        **{name: getattr(board, name) for name in ("task", "version", "hash", "rules", "notes")},
        "columns": [dataclasses.asdict(column) for column in board.columns],
        "rows": plain(board.frame),
        "front": list(front),
        "runs": runs,
        "ledger": {method: plain(ledger(cell)) for method, cell in tuned.items()},
        "curves": plain(curves(board.cells.values(), board.task, rules=board.rules["name"])),
    }


def images(board: Board) -> pd.DataFrame:
    """The raw value of every test image: one row for each method, image and seed."""
    return raw(board.cells.values(), board.task, RANKING_KIND, board.rules["name"])


def run(result: Result) -> dict[str, Any]:
    """Where a result comes from: its file below the results folder, all of its provenance, and how to repeat it."""
    notes = Counter(record["note"] for record in result.records if record["note"])
    return {
        "title": result.measurement["title"],
        "status": result.status,
        "reason": result.reason,
        "file": f"{result.task['name']}/{result.method['name']}/{result.stem}.json",
        **result.provenance,
        "settings": result.method["settings"],
        "tuned": result.method["tuned"],
        "notes": [f"{count} of {len(result.records)} records: {note}" for note, count in notes.most_common()],
        "hashes": {name: getattr(result, name)["hash"] for name in ("task", "rules", "measurement", "method")},
        "reproduce": reproduce(result),
    }


def reproduce(result: Result) -> str:
    """The command that repeats one cell, whatever has been measured already, as a line for a shell."""
    file = result.method["file"]
    method = result.method["name"] if file.startswith("baselines/") else file
    words = ["recon-bench", "run", "--tasks", result.task["name"], "--methods", method, "--measurements", result.kind]
    if result.rules["name"] != "full":
        words += ["--rules", result.rules["name"]]
    if result.provenance["device"] != "cpu":
        words += ["--device", result.provenance["device"]]
    words += ["--threads", str(result.provenance["threads"]), "--force"]
    return shlex.join(words)


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON may hold them, None for what is missing."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
