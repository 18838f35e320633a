"""The card of a submitted method: who made it, on which track it stands, what it has learned from, what is declared."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from recon_bench import templates
from recon_bench.core import Method
from recon_bench.results import Result
from recon_bench.scoring.header import fields

Card = Mapping[str, Any]


def path(method: Method) -> Path:
    """Where the card of a method is kept: in the folder of cards, once it is there, or else beside the file."""
    folder, name = Path(method.path).parent, f"{method.name}.toml"
    return kept if (kept := folder / "cards" / name).exists() else folder / name


def write_blank(method: Method) -> Path:
    """Put a card to be filled in beside the file of a method; FileExistsError where there is one."""
    with path(method).open("x", encoding="utf-8") as file:
        file.write(templates.text("card", method.name))
    return path(method)


def read(method: Method) -> Card:
    """The card of a method; empty where it has none. ValueError where it cannot be read."""
    file = path(method)
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def problems(file: Path, method: Method) -> tuple[Card, list[str]]:
    """The card and what is wrong with it, a line each, with the field; an empty card where it is no TOML."""
    try:
        card = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, [f"{file}: cannot be read ({error})"]
    wrong = [f"{file}: {_where(error.json_path)}{error.message}" for error in _validator().iter_errors(card)]
    if not wrong and card["method"] != method.name:
        wrong = [f"{file}: is of the method {card['method']}, expected {method.name}"]
    return card, wrong


def _where(place: str) -> str:
    return f"{place.removeprefix('$.')}: " if place != "$" else ""


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads((files("recon_bench.submission") / "card.schema.json").read_text()))


def against_track(track: str, method: Method, ranked: Sequence[Result]) -> list[str]:
    """Where the settings of ``ranked`` results were chosen in another way than the ``track`` says."""
    defaults, wrong = fields(method), []
    for result in ranked:
        used, tuned = result.method["settings"], set(result.method["tuned"])
        own = {name for name in used if name in defaults and used[name] != defaults[name]} - tuned
        if own and track != "free":
            wrong.append(f"{result.task['name']}: {', '.join(sorted(own))} were set by hand: that is the track free")
        elif tuned and track == "default":
            wrong.append(
                f"{result.task['name']}: {', '.join(sorted(tuned))} were tuned: that is the track fixed-budget"
            )
    return wrong
