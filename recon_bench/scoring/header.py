"""What a method says of itself before it runs: can it be written into a result, and can the tuner use it?

Pure functions of a :class:`recon_bench.core.Method`. Each gives what is wrong and what to do, or None.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from recon_bench.core import Choice, Log, Method
from recon_bench.headers import FAMILIES, NAME


def name(method: Method) -> str | None:
    """A name is part of addresses, of file names and of commands."""
    if isinstance(method.name, str) and NAME.fullmatch(method.name):
        return None
    return f"expected small letters, digits and hyphens, a letter first, as in my-method; got {method.name!r}"


def text(method: Method) -> str | None:
    """Title, summary and reference are what readers see; the family is one of core.py."""
    for field in ("title", "summary", "reference"):
        said = getattr(method, field)
        if not isinstance(said, str) or not said.strip():
            return f"{field}: expected text, got {said!r}"
        try:
            said.encode()
        except UnicodeEncodeError as error:
            return f"{field}: cannot be written as UTF-8 ({error.reason})"
    return (
        None if method.family in FAMILIES else f"family: expected one of {', '.join(FAMILIES)}; got {method.family!r}"
    )


def settings(method: Method) -> str | None:
    """Settings are a frozen dataclass of values that JSON can hold, or None."""
    given = method.settings
    if given is None:
        return None
    if not _is_instance(given):
        return f"expected an instance of a frozen dataclass, such as Settings(); got {given!r}"
    if not type(given).__dataclass_params__.frozen:
        return f"expected a frozen dataclass: write @dataclass(frozen=True) above {type(given).__name__}"
    for field, value in fields(method).items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            return f"{field} = {value!r} cannot be written as JSON ({error}); use numbers, text, true or false"
    return None


def search(method: Method) -> str | None:
    """What the tuner may choose are settings, in ranges or choices that hold the defaults."""
    known = fields(method)
    for field, space in method.search.items():
        if field not in known:
            return f"{field!r} is no setting; there are: {', '.join(known) or 'none'}"
        if wrong := _wrong_space(space, known[field]):
            return f"{field}: {wrong}"
    return None


def _wrong_space(space: Any, default: Any) -> str | None:
    if isinstance(space, Choice):
        return None if default in space.values else f"the default {default!r} is not among {space.values!r}"
    if not isinstance(space, Log):
        return f"expected Log(low, high) or Choice((...)), got {space!r}"
    if not 0 < space.low < space.high:
        return f"expected 0 < low < high, got {space}"
    number = isinstance(default, int | float) and not isinstance(default, bool)
    return None if number else f"a range needs a number as the default, got {default!r}"


def depth(method: Method) -> str | None:
    """The setting that counts applications of the pair is there and is an integer."""
    if method.depth is None:
        return None
    default = fields(method).get(method.depth)
    if isinstance(default, int) and not isinstance(default, bool) and default > 0:
        return None
    return f"{method.depth!r}: expected the name of a setting that is an integer above 0; its default is {default!r}"


def fields(method: Method) -> dict[str, Any]:
    """The settings by name; empty where they are no dataclass."""
    given = method.settings
    return {f.name: getattr(given, f.name) for f in dataclasses.fields(given)} if _is_instance(given) else {}


def _is_instance(given: Any) -> bool:
    """Whether it is an instance of a dataclass, and not the class."""
    return dataclasses.is_dataclass(given) and not isinstance(given, type)


CHECKS: Mapping[str, Callable[[Method], str | None]] = {
    "name": name,
    "text": text,
    "settings": settings,
    "search": search,
    "depth": depth,
}
