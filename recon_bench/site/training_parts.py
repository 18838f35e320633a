"""How the trained weights of a learned method came about, for a reader: from the card that each training writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recon_bench.results import Result
from recon_bench.site.charts import training_figures
from recon_bench.site.model import commit
from recon_bench.site.text import duration, fixed, setting
from recon_bench.tables.numbers import plural


def training(header: Mapping[str, Any], curve: Result | None, identifier: str) -> dict[str, Any]:
    """The training card of a learned method for a reader, with the curve of its validation where that was kept."""
    card = header["training"]
    recipe = {name: value for name, value in card["recipe"].items() if name != "steps"}  # the command has the budget
    steps = f"{card['steps']:,} steps of {card['recipe']['batch']}"
    facts = {
        "Weights": ", ".join(header["weights"]),
        "Trained on": f"{card['samples']:,} samples in {steps}; {trained_on(card)}",
        "Took": f"{took(card)}, {card['device']}, {threads(card)}, {card['precision']}",
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


def took(card: Mapping[str, Any]) -> str:
    """How long it took, on which machine."""
    machine = card["machine"]
    return f"{duration(card['seconds'])} on {machine['gpu'] or machine['cpu']}"


def threads(card: Mapping[str, Any]) -> str:
    """How many threads trained, from which step on where that changed."""
    words = []
    for session in card.get("sessions") or [{"step": 0, "threads": card["threads"]}]:
        since = f" from step {session['step']:,}" if session["step"] else ""
        words.append(f"{plural(session['threads'], 'thread')}{since}")
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
            return "drawn anew like the training split"
    return f"{card['images']:,} images of the training split"


def foreign(card: Mapping[str, Any]) -> Iterator[str]:
    """Names of the weights of other tasks that a training started from, the nearest first."""
    own, start = card["task"], card.get("start")
    while start:
        if not start["name"].startswith(f"{own}/"):
            yield start["name"]
        start = start.get("start")
