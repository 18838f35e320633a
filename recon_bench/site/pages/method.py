"""The page of each method: what it is, its results on every board, settings and tuning ledgers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recon_bench.results import Result, started
from recon_bench.site.addresses import link
from recon_bench.site.charts import ledger_table, training_figures, tuning_figure
from recon_bench.site.model import Site, board_column, commit, records
from recon_bench.site.page import Page
from recon_bench.site.text import duration, fixed, setting
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
    return {"method": header, "columns": shown, "rows": rows, "parts": parts}


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


def training(header: Mapping[str, Any], curve: Result | None, identifier: str) -> dict[str, Any]:
    """The training card of a learned method for a reader, with the curve of its validation where that was kept."""
    card = header["training"]
    machine = card["machine"]
    recipe = {name: value for name, value in card["recipe"].items() if name != "steps"}  # the command has the budget
    steps = f"{card['steps']:,} steps of {card['recipe']['batch']}"
    facts = {
        "Weights": ", ".join(header["weights"]),
        "Trained on": f"{card['samples']:,} samples in {steps}; {trained_on(card)}",
        "Took": f"{duration(card['seconds'])} on {machine['gpu'] or machine['cpu']}, {card['device']}, "
        f"{threads(card)}, {card['precision']}",
        "Started from": started_from(card),
        "Memory": f"{card['peak_bytes'] / 2**30:.1f} GiB at its peak",
        "Best": f"{fixed(card['best']['psnr'], 2)} dB on validation images, at step {card['best']['step']:,}",
        "Finished": "yes" if card["finished"] else "no: its budget was not spent",
        "Seed": card["seed"],
        "Parameters": f"{card['parameters']:,}",
        "Kept in": kept_in(card),
        "Recipe": ", ".join(f"{name} {setting(value)}" for name, value in recipe.items()),
        "Commit": commit(card),
    }
    figures = list(training_figures(identifier, curve)) if curve else []
    repeat = list(commands(card, next(iter(header["weights"]))))
    return {"facts": facts, "figures": figures, "commands": repeat, "whole": from_random(card)}


def from_random(card: Mapping[str, Any]) -> bool:
    """Whether it is recorded how a training came about, from random weights on."""
    start = card.get("start")
    return not start or ("command" in start and from_random(start))


def commands(card: Mapping[str, Any], name: str) -> Iterator[dict[str, str]]:
    """The commands that repeat the training of the weights called ``name``, in order, with what each starts from."""
    start = card.get("start")
    if not start:
        yield {"command": card["command"], "note": f"Trains {name} from random weights."}
        return
    gone = ", which are gone, replaced by these;" if start["name"] == name else "; where they were replaced since,"
    if "command" in start:
        yield from commands(start, start["name"])
        then = "what stands above trains such anew."
    else:
        then = "this cannot be repeated: how they were trained was not recorded."
    note = f"Trains {name} from the weights {start['name']} with the sha256 {start['sha256'][:8]}…{gone} {then}"
    yield {"command": card["command"], "note": note}


def kept_in(card: Mapping[str, Any]) -> str:
    """In how many bits the weights are kept, and what that changed; earlier cards tell of half precision alone."""
    if "bits" in card:
        change = fixed(card["rounding_change_db"], 4)
        return f"about {card['bits']} bits a number, which changes the validation PSNR by {change} dB"
    precision, change = "half" if card["half_precision"] else "full", fixed(card["half_precision_change_db"], 4)
    return f"{precision} precision; half precision changes the validation PSNR by {change} dB"


def threads(card: Mapping[str, Any]) -> str:
    """How many threads trained, from which step on where that changed."""
    words = []
    for session in card.get("sessions") or [{"step": 0, "threads": card["threads"]}]:
        since = f" from step {session['step']:,}" if session["step"] else ""
        words.append(f"{session['threads']} thread{'' if session['threads'] == 1 else 's'}{since}")
    return ", ".join(words)


def started_from(card: Mapping[str, Any]) -> str:
    """Where the first weights came from, and what had gone into them."""
    if start := card.get("start"):
        return f"{start['name']}, after {start['samples']:,} samples in {duration(start['seconds'])}"
    return "random weights"


def trained_on(card: Mapping[str, Any]) -> str:
    """Which samples a network saw."""
    match card["data"]:
        case "phantoms":
            return "random ellipses, measured as the task measures its scans"
        case "fresh samples":
            return "drawn anew by the law of the training split"
    return f"{card['images']:,} images of the training split"


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
