"""The results folder: reading, writing and checking result files and task cards."""

from recon_bench.results.files import (
    Json,
    Result,
    ResultError,
    card_files,
    cards,
    latest,
    load,
    parse,
    result_files,
    started,
    to_result,
    violations,
    write,
    write_card,
)
from recon_bench.results.traits import RANKING_KIND

__all__ = [
    "RANKING_KIND",
    "Json",
    "Result",
    "ResultError",
    "card_files",
    "cards",
    "latest",
    "load",
    "parse",
    "result_files",
    "started",
    "to_result",
    "violations",
    "write",
    "write_card",
]
