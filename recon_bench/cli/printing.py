"""How commands print tables and JSON."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from recon_bench.tables.numbers import number

Rows = Sequence[Mapping[str, Any]]
ENDS = ("", "_low", "_high")


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """What anybody prints meanwhile goes to stderr: it is no answer of the command."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def interrupted() -> int:
    """Say that a command that goes on where it was has been interrupted; its exit status."""
    said = "interrupted; what was finished is kept, the same command goes on from there"
    print(f"\nrecon-bench: {said}", file=sys.stderr)
    return 130


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
    limits = itertools.repeat(widths) if isinstance(widths, int) else widths
    folded = [{name: _folded(text(cell), width) for (name, cell), width in zip(row.items(), limits)} for row in rows]
    return tabulate(folded, headers="keys", disable_numparse=True)


def grid(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells below one another, as narrow as they are; the first one is a head, with a rule below."""
    rule = ["-" * max(map(len, cells)) for cells in zip(*lines)]
    return tabulate([lines[0], rule, *lines[1:]], tablefmt="plain", disable_numparse=True)


def _folded(cell: str, width: int | None) -> str:
    return cell if width is None else "\n".join(textwrap.fill(line, width) for line in cell.splitlines())


def text(data: Any) -> str:
    """A value for a reader: whole numbers with commas, nothing for None."""
    if isinstance(data, int) and not isinstance(data, bool):
        return f"{data:,}"
    return "" if data is None else str(data)


def pairs(lines: Sequence[tuple[str, str]]) -> str:
    """Names and values as two columns without a header."""
    return tabulate(lines, tablefmt="plain", disable_numparse=True)


def value(row: Mapping[str, Any], name: str, digits: int, unit: str = "", ends: bool = True) -> str:
    """Value with its interval ``name_low`` to ``name_high``, as in "28.06 (27.91 to 28.21)", or without its ``ends``.

    Empty where it is None.
    """
    shown, low, high = (None if (x := row[name + end]) is None else number(x, digits, unit) for end in ENDS)
    return (shown or "") + (f" ({low} to {high})" if low and ends else "")
