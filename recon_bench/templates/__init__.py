"""The files that a new method starts from: what `recon-bench new-method` writes and the documents show is one text."""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

NAME = "my-method"  # what the templates call it

Kind = Literal["iterative", "learned", "card"]


def text(kind: Kind, name: str = NAME) -> str:
    """A whole file with a method called ``name``, which runs as it is; or the card of one, to be filled in."""
    ending = "toml" if kind == "card" else "py"
    template = (files(__name__) / f"{kind}.{ending}.txt").read_text(encoding="utf-8")
    return template.replace(NAME, name).replace(_title(NAME), _title(name))


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()
