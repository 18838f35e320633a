"""The results folder: reading, writing and checking result files and task cards."""

from recon_bench.results.files import (
    DiskFull,
    ResultError,
    card_files,
    cards,
    load,
    parse,
    refused,
    result_files,
    to_result,
    unused,
    violations,
    write,
    write_card,
)
from recon_bench.results.result import Json, Result, latest, started
from recon_bench.results.traits import RANKING_KIND

__all__ = [
    "RANKING_KIND",
    "DiskFull",
    "Json",
    "Result",
    "ResultError",
    "card_files",
    "cards",
    "latest",
    "load",
    "parse",
    "refused",
    "result_files",
    "started",
    "to_result",
    "unused",
    "violations",
    "write",
    "write_card",
]
