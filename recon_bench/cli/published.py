"""`recon-bench published`: what papers say, and what was measured here."""

from __future__ import annotations

import argparse
from typing import Any

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one row for each published figure."""
    from recon_bench.tables.export import plain
    from recon_bench.tables.published import published

    rows = plain(published(options.results_in(arguments.results)))
    printing.print_rows(rows if arguments.json else [_formatted(row) for row in rows], arguments.json)
    return 0


def _formatted(row: dict[str, Any]) -> dict[str, Any]:
    """The row with ours and its interval in one column, in dB with two digits, SSIM with three."""
    digits = 3 if row["metric"] == "ssim" else 2
    ours = {"ours": row["ours"], "ours_low": row["low"], "ours_high": row["high"]}
    kept = {name: value for name, value in row.items() if name not in ("low", "high")}
    kept |= {"published": f"{row['published']:.{digits}f}", "ours": printing.value(ours, "ours", digits)}
    return kept | {"gap": "" if row["gap"] is None else f"{row['gap']:+.{digits}f}"}


COMMAND = Command("print published figures beside ours", add_arguments, run, place=4)
