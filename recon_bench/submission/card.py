"""The card of a submitted method: who made it, on which track it stands, what it has learned from, what is declared."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from recon_bench import templates
from recon_bench.core import Method
from recon_bench.results import Json, Result, declared
from recon_bench.scoring.header import fields
from recon_bench.storage import replace_file


def path(method: Method) -> Path:
    """Where the card of a method is kept: in the folder of cards, once it is there, or else beside the file."""
    folder, name = Path(method.path).parent, f"{method.name}.toml"
    return kept if (kept := folder / "cards" / name).exists() else folder / name


def write_blank(method: Method) -> Path:
    """Put a card to be filled in beside the file of a method, which has none."""
    replace_file(path(method), templates.text("card", method.name).encode())
    return path(method)


def read(method: Method) -> Json:
    """The card of a method; empty where it has none. ValueError where it cannot be read."""
    file = path(method)
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except ValueError as error:
        raise ValueError(f"{file}: expected a card as TOML ({error}); docs/submitting.md has an example") from error


def problems(file: Path, method: Method) -> tuple[Json, list[str]]:
    """The card and what is wrong with it, a line each, with the field; an empty card where it is no TOML."""
    card, wrong = declared.read(file)
    if not wrong and card["method"] != method.name:
        wrong = [f"{file}: is of the method {card['method']}, expected {method.name}"]
    return card, wrong


def against_track(track: str, method: Method, ranked: Sequence[Result]) -> list[str]:
    """Where the settings of ``ranked`` results were chosen in another way than the ``track`` says."""
    defaults, wrong = fields(method), []
    for result in ranked:
        used, tuned = result.method["settings"], set(result.method["tuned"])
        own = {name for name in used if name in defaults and used[name] != defaults[name]} - tuned
        if own and track != declared.FREE:
            wrong.append(
                f"{result.task['name']}: {', '.join(sorted(own))} were set by hand: that is the track {declared.FREE}"
            )
        elif tuned and track == declared.DEFAULT:
            wrong.append(
                f"{result.task['name']}: {', '.join(sorted(tuned))} were tuned: that is the track {declared.BUDGET}"
            )
    return wrong
