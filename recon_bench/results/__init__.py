"""The results folder: reading, writing and checking result files and task cards."""

from recon_bench.results.files import (
    RANKING_KIND,
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
