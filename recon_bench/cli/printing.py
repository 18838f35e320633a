"""How commands print tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

Rows = Sequence[Mapping[str, Any]]


def print_rows(rows: Rows, as_json: bool) -> None:
    """A table with the keys of the rows above its columns, or a JSON list."""
    if as_json:
        print_json(list(rows))
    else:
        print(table(rows, 40))


def print_json(data: Any) -> None:
    """``data`` as JSON, indented by one."""
    print(json.dumps(data, indent=1))


def table(rows: Rows, widths: int | Sequence[int | None]) -> str:
    """Rows as text, each column folded at its width (None: not folded); numbers stand as they were formatted."""
    return tabulate(rows, headers="keys", disable_numparse=True, maxcolwidths=widths)


def pairs(lines: Sequence[tuple[str, str]]) -> str:
    """Names and values as two columns without a header."""
    return tabulate(lines, tablefmt="plain", disable_numparse=True)


def value(row: Mapping[str, Any], name: str, digits: int) -> str:
    """Value with its interval ``name_low`` to ``name_high``, as in "28.06 (27.91 to 28.21)"; empty where it is None."""
    number, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if number is None:
        return ""
    return f"{number:.{digits}f}" + ("" if low is None else f" ({low:.{digits}f} to {high:.{digits}f})")
