"""What to say of a name that is not known. Imports nothing of ours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LIKENESS = 0.55  # of difflib: "sirt" finds "astra-sirt", "nowhere" finds nothing


def hint(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'fbp'?"`` with the nearest of the ``known`` names; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=LIKENESS)
    return f"; did you mean {near[0]!r}?" if near else ""


class UnknownName(ValueError):
    """A name that is not registered; the text suggests the nearest and says how to list them."""
