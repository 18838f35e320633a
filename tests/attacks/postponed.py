"""Honest, with postponed annotations and a dataclass of settings."""

from __future__ import annotations

from dataclasses import dataclass

from tests.attacks.making import method


@dataclass(frozen=True)
class Settings:
    """None of them matters."""

    steps: int = 3
    name: str = "a"


METHODS = (method("postponed", settings=Settings()),)
ROW = ("ok", "", "")
