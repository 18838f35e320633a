"""What submitters declare: the cards in ``baselines/cards`` beside a results folder, and the track of a row.

A card says of whom a method is, what it has learned from and how its settings were chosen; card.schema.json has the
fields. A method without one is the project's own, or has declared nothing.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from jsonschema import Draft202012Validator

from recon_bench.results.result import Json, Result

DEFAULT, BUDGET, FREE = "default", "fixed-budget", "free"
TRACKS = {
    DEFAULT: "settings as they come with the method, the same on every task",
    BUDGET: "settings chosen by the shared tuner, with as many evaluations for everybody",
    FREE: "settings chosen by hand or by a search of its own",
}


def read(file: Path) -> tuple[Json, list[str]]:
    """The card in a TOML file and what is wrong with it, a line each, with the field; empty where it is no TOML."""
    try:
        card = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, [f"{file}: cannot be read ({error})"]
    return card, [f"{file}: {_where(error.json_path)}{error.message}" for error in _validator().iter_errors(card)]


def cards(root: Path) -> dict[str, Json]:
    """The valid cards beside the results folder ``root``, by method."""
    return {card["method"]: card for card, wrong in map(_kept, _files(root)) if not wrong}


def violations(root: Path) -> Iterator[str]:
    """What is wrong with the cards beside the results folder ``root``, one line each."""
    for file in _files(root):
        yield from _kept(file)[1]


def track(result: Result) -> str:
    """How the settings of ``result`` were chosen, one of TRACKS; empty where nothing was reconstructed.

    It is what was measured, unless the card or the command that is recorded says that settings were set by hand.
    """
    if not result.records:
        return ""
    if result.card.get("track") == FREE or _by_hand(result):
        return FREE
    return BUDGET if result.method["tuned"] else DEFAULT


def _by_hand(result: Result) -> bool:
    option = rf"""\s--set?[\s=]['"]?{re.escape(result.method["name"])}\."""
    return re.search(option, result.provenance["command"]) is not None


def _kept(file: Path) -> tuple[Json, list[str]]:
    """As :func:`read`, of a card that must be named after its method."""
    card, wrong = read(file)
    if not wrong and card["method"] != file.stem:
        wrong = [f"{file}: is of the method {card['method']}; rename it to {card['method']}.toml"]
    return card, wrong


def _files(root: Path) -> list[Path]:
    return sorted((root.absolute().parent / "baselines" / "cards").glob("*.toml"))


def _where(place: str) -> str:
    return f"{place.removeprefix('$.')}: " if place != "$" else ""


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads((files("recon_bench.results") / "card.schema.json").read_text()))
