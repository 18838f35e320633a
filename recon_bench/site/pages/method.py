"""The page of each method: what it is, its results on every board, other operators, settings and tuning ledgers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recon_bench.results import Result, started
from recon_bench.site.addresses import link
from recon_bench.site.charts import ledger_table, tuning_figure
from recon_bench.site.model import Site, board_column, records
from recon_bench.site.page import Page
from recon_bench.site.shift_parts import of_method
from recon_bench.site.training_parts import training
from recon_bench.tables.board import RANKING_KIND, Board, ledger
from recon_bench.tables.columns import Column


def content(site: Site, here: str, header: Mapping[str, Any]) -> dict[str, Any]:
    """A method on every board that has it."""
    name = header["name"]
    columns: dict[str, Column] = {}
    rows, parts = [], []
    for board in site.boards:
        if name not in site.rows(board):
            continue
        columns |= {column.name: column for column in board.columns if column.name not in board.hidden}
        row = site.rows(board)[name]
        place = {"href": link(here, "board", site.stem(board), name), "task_title": site.title(board)}
        rows.append(row | place | {"rules": board.rules["name"], "methods": len(board.frame)})
        parts.append(method_part(site, board, name, row["runs"]))
    for row in rows:
        row["cells"] = {key: row["cells"].get(key, {"raw": "", "text": "–", "low": None}) for key in columns}
    shown = [board_column(column, hidden=False) for column in columns.values()]
    shifted = [{"task": site.title(board), "stem": board.task} | of_method(board, name) for board in site.main()]
    maps = [heat for heat in shifted if "rows" in heat]
    return {"method": header, "columns": shown, "rows": rows, "parts": parts, "shifted": maps}


def method_part(site: Site, board: Board, name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Settings, tuning ledger and provenance of a method on one board."""
    own = {run["kind"]: board.cells[name, run["kind"]] for run in runs}
    newest = max(own.values(), key=started, default=None)
    header = own.get(RANKING_KIND, newest)
    title = site.title(board) + ("" if board.rules["name"] == "full" else f" ({board.rules['name']} rules)")
    identifier = site.stem(board).replace(".", "-")
    part: dict[str, Any] = {"id": identifier, "title": title, "runs": runs, "settings": {}, "tuned": []}
    part |= {"ledger": None, "training": None}
    if header is not None:
        part |= {"settings": header.method["settings"], "tuned": header.method["tuned"]}
    if "tuning" in own and own["tuning"].records:
        part["ledger"] = tuning(own["tuning"], f"tuning-{identifier}")
    trained = own.get(RANKING_KIND) or own.get("training")
    if trained and "training" in trained.method:
        curve = own.get("training")
        same = curve is not None and curve.method["weights"] == trained.method["weights"]
        part["training"] = training(trained.method, curve if same else None, f"training-{identifier}")
    return part


def tuning(result: Result, identifier: str) -> dict[str, Any]:
    """What the tuner tried, with a chart where it had one number to choose."""
    frame = ledger(result)
    evaluations = records(frame)
    metric = result.measurement["metrics"][0]["name"]
    settings = [c for c in frame.columns if c not in ("evaluation", "error", "chosen", metric)]
    budget = result.rules.get("tuning_evaluations", "?")
    images = result.rules.get("tuning_images", "?")
    summary = f"{len(evaluations)} of {budget} allowed evaluations, each on {images} validation images."
    heads, rows = ledger_table(evaluations)
    figure = None
    if len(settings) == 1 and metric in frame and len(evaluations) > 1:
        figure = tuning_figure(identifier, evaluations, settings[0], metric)
    return {"summary": summary, "heads": heads, "rows": rows, "figure": figure}


PAGE = Page("method", "method.html", content, each=Site.methods, section="methods", order=8)
