"""Prints the tables of comparisons after the run."""

from __future__ import annotations

import pytest
from tabulate import tabulate

from tests.perf.compare import Tables

TABLES = pytest.StashKey[Tables]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLES] = Tables()


@pytest.fixture
def tables(request: pytest.FixtureRequest) -> Tables:
    return request.config.stash[TABLES]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tables = terminalreporter.config.stash[TABLES]
    for title, rows in tables.rows.items():
        terminalreporter.section(title)
        terminalreporter.write_line(tabulate(rows, headers="keys", disable_numparse=True, stralign="right"))
    for remark in tables.remarks:
        terminalreporter.write_line(remark)
