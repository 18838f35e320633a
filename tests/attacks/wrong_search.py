"""Searches from more to less."""

from dataclasses import dataclass

from recon_bench.core import Log
from tests.attacks.making import method


@dataclass(frozen=True)
class Settings:
    """One."""

    weight: float = 1.0


METHODS = (method("wrong-search", settings=Settings(), search={"weight": Log(2.0, 1.0)}),)
ROW = ("failed", "expected a search from above 0 to more, got Log", "")
