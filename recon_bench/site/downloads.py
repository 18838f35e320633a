"""A board as files to download: CSV, JSON and LaTeX, and the raw value of every image as CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

import pandas as pd

from recon_bench.site.model import records
from recon_bench.site.text import tex
from recon_bench.tables.board import Board
from recon_bench.tables.columns import Column, demerit
from recon_bench.tables.export import board_data, images
from recon_bench.tables.numbers import number


def as_json(board: Board, title: str) -> str:
    """The board and all that stands behind it."""
    data = {"title": title, **board_data(board)}
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_latex(board: Board, title: str) -> str:
    """A booktabs table: rank, method, track, each column that has a value with its interval, the best in bold."""
    columns = [column for column in board.columns if board.frame[column.name].notna().any()]
    units = [f" [{tex(column.unit)}]" if column.unit else "" for column in columns]
    head = ["Rank", "Method", "Track", *(tex(column.title) + unit for column, unit in zip(columns, units))]
    best = {column.name: _best(board, column) for column in columns}
    ties = board.frame["rank"].value_counts()
    lines = [
        f"% {tex(title)}: task {board.task} version {board.version} ({board.hash}), {board.rules['name']} rules",
        "% needs \\usepackage{booktabs}; best value of each column in bold; = marks methods that share a rank",
        f"\\begin{{tabular}}{{rll{'r' * len(columns)}}}",
        "\\toprule",
        " & ".join(head) + " \\\\",
        "\\midrule",
    ]
    for row in records(board.frame):
        rank = "--" if pd.isna(row["rank"]) else "=" * bool(ties[row["rank"]] > 1) + str(row["rank"])
        values = [_latex_value(row, column, best[column.name]) for column in columns]
        lines.append(" & ".join([rank, tex(row["title"]), tex(row["track"]) or "--", *values]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _best(board: Board, column: Column) -> float:
    """The best value of a column that has one; NaN where none wins."""
    known = board.frame[column.name].dropna() if column.better else [math.nan]
    return min(known, key=lambda value: demerit(value, column.better))


def _latex_value(row: dict[str, float], column: Column, best: float) -> str:
    value, low, high = (row[f"{column.name}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return "--"
    text, *ends = (number(x, column.digits, column.unit).replace(",", "{,}") for x in (value, low, high))
    shown = f"$\\mathbf{{{text}}}$" if value == best else f"${text}$"
    return shown if math.isnan(low) else f"{shown} {{\\scriptsize $[{', '.join(ends)}]$}}"


# How the text of each download is made of a board and its title, by the ending of its file name.
DOWNLOADS: Mapping[str, Callable[[Board, str], str]] = {
    ".csv": lambda board, title: board.frame.to_csv(index=False),
    ".json": as_json,
    ".tex": as_latex,
    ".images.csv": lambda board, title: images(board).to_csv(index=False),
}
