"""Has settings that no result can hold."""

from dataclasses import dataclass
from pathlib import Path

from tests.attacks.making import method


@dataclass(frozen=True)
class Settings:
    """A path is no number and no text."""

    where: Path = Path("here")


METHODS = (method("settings-of-objects", settings=Settings()),)
ROW = ("failed", "expected a number or a text as where of the settings", "")
