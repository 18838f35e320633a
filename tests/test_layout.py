"""Imports run down only, from the command line to storage, and the library never names a method."""

import ast

import pytest

from recon_bench import storage

FLOORS = (  # from the top; what stands on one floor may import each other where it makes no circle of packages
    ("__main__",),
    ("cli",),
    ("submission",),
    ("training", "run", "site", "reconstruction"),
    ("measurements", "tasks"),
    ("tables", "deq", "regulariser", "adapters"),
    ("scoring", "implicit"),
    ("repeating",),
    ("learned",),
    ("solvers", "fixed_point"),
    ("data", "operators", "results", "registry"),
    ("measurement", "cache", "headers", "loading"),
    ("task", "identity", "weights"),
    ("core", "rules", "recipe", "quantised", "names", "processes", "templates", "slurm"),
    ("storage",),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
PACKAGE = storage.REPOSITORY / "recon_bench"
FILES = sorted(PACKAGE.rglob("*.py"))


def room(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file):
    """The rooms of the package that a file imports, and the other packages."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".") for name in names)


def test_every_room_has_a_floor():
    assert {room(file) for file in FILES} - {"__init__"} <= set(FLOOR)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_import_runs_up(file):
    for parts in imported(file):
        assert parts[0] != "baselines", "the library finds methods through the registry"
        if parts[0] == "recon_bench" and room(file) != "__init__":
            assert FLOOR[parts[1]] >= FLOOR[room(file)], f"{room(file)} imports {parts[1]} above it"


def test_the_nouns_import_nothing_of_ours():
    assert not [parts for parts in imported(PACKAGE / "core.py") if parts[0] == "recon_bench"]


def test_the_root_is_that_of_the_repository():
    assert (storage.REPOSITORY / "pyproject.toml").is_file() and (storage.REPOSITORY / "recon_bench").is_dir()
