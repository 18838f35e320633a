"""Which code a result belongs to: what does nothing leaves an identity alone, what does something does not."""

from pathlib import Path

import pytest

from recon_bench import identity, storage

METHOD = '''
"""A method."""

import torch
from torch.nn import functional

import tools
from tools import damped as calmer

STEP = 0.5


class Settings:
    """Its settings."""

    depth: int = 3


def build(problem, settings):
    begin = tools.start(problem)

    def reconstruct(y, A):
        tools = calmer(y) * STEP
        return functional.relu(tools + begin)

    return reconstruct


METHODS = (build, Settings())
'''
TOOLS = """
import math


def start(problem):
    return math.pi


def damped(y):
    return weaken(y, 0.9)
"""
WEAKEN = "\n\ndef weaken(y, by):\n    return by * y\n"


@pytest.fixture
def changed(tmp_path):
    """The identity of METHOD beside TOOLS, with replacements of text in one or both."""

    def of(method: tuple[tuple[str, str], ...] = (), tools: tuple[tuple[str, str], ...] = (), more: str = "") -> str:
        for name, text, changes in (("method", METHOD, method), ("tools", TOOLS + WEAKEN, tools)):
            for old, new in changes:
                assert old in text
                text = text.replace(old, new)
            (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / "more.py").write_text(more)
        return identity.of_file(tmp_path / "method.py")

    return of


@pytest.mark.parametrize(
    "harmless",
    [
        {"method": (("STEP = 0.5", "STEP = 0.5  # half"),)},
        {"method": (('"""A method."""', '"""Another text."""'), ('    """Its settings."""\n\n', ""))},
        {"method": (("import torch\nfrom torch.nn import functional\n", "from torch.nn import functional\n"),)},
        {"method": (("from torch.nn import functional", "import torch.nn.functional as functional"),)},
        {"method": (("from tools import damped as calmer", "from tools import damped"), ("calmer(y)", "damped(y)"))},
        {"method": (("import tools\n", "from tools import start\n"), ("tools.start(", "start("))},
        {"method": (("import tools\n", "from . import tools\n"),)},
        {"method": (("def build(problem, settings):", "def build(problem: int, settings: object) -> None:"),)},
        {"tools": (("import math\n", "import math\n\nUNUSED = 3\n"),)},
        {"tools": ((WEAKEN, ""), ("import math\n", "import math\nfrom more import weaken\n")), "more": WEAKEN},
        {"method": (("from tools import damped", "from more import damped"),), "more": "from tools import *\n"},
    ],
)  # fmt: skip
def test_what_does_nothing_leaves_an_identity_alone(changed, harmless):
    before = changed()
    assert changed(**harmless) == before


@pytest.mark.parametrize(
    "change",
    [
        {"method": (("STEP = 0.5", "STEP = 0.25"),)},
        {"method": (("depth: int = 3", "depth: int = 4"),)},
        {"method": (("functional.relu", "functional.elu"),)},
        {"method": (("METHODS = (build", "torch.set_flush_denormal(True)\nMETHODS = (build"),)},
        {"tools": (("0.9", "0.8"),)},
        {"tools": (("return by * y", "return by + y"),)},
        {"tools": (("import math\n", "import math\n\nmath.pi = 3\n"),)},
        {"tools": (("return math.pi", "return math.e"),)},
        {"method": (("tools.start(problem)", "tools.weaken(1, 2)"),)},
        {"method": (("from tools import damped as calmer", "from tools import weaken as calmer"),)},
        {"method": (("begin = tools", "import more\n    begin = more"),), "more": "def start(problem): return 2\n"},
    ],
)  # fmt: skip
def test_what_does_something_changes_it(changed, change):
    before = changed()
    assert changed(**change) != before


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the methods and numerical modules, to change."""
    for pattern in ("baselines/*.py", "recon_bench/*.py", "recon_bench/operators/**/*.py"):
        for path in storage.REPOSITORY.glob(pattern):
            copy = tmp_path / path.relative_to(storage.REPOSITORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(identity, "REPOSITORY", tmp_path)
    return tmp_path


def identities(root: Path) -> dict[str, str]:
    return {path.name: identity.of_file(path) for path in sorted((root / "baselines").glob("*.py"))}


def test_a_comment_in_a_solver_costs_no_result_but_a_constant_does(checkout):
    before = identities(checkout)
    solvers = checkout / "recon_bench" / "solvers.py"
    text = solvers.read_text()
    solvers.write_text("# of all iterative methods\n" + text)
    assert identities(checkout) == before
    assert "10 * torch.finfo" in text
    solvers.write_text(text.replace("10 * torch.finfo", "11 * torch.finfo"))
    after = identities(checkout)
    assert {name for name in after if after[name] != before[name]} >= {"cgls.py", "modl.py"}
    assert after["fbp.py"] == before["fbp.py"] and after["landweber.py"] == before["landweber.py"]


def test_a_helper_may_move_to_another_module(checkout):
    before = identities(checkout)
    solvers = checkout / "recon_bench" / "solvers.py"
    head, tail = solvers.read_text().split("def remember(")
    body, rest = tail.split("operator_norm = remember(norm)")
    (checkout / "recon_bench" / "operators" / "memory.py").write_text(f"{head}\n\ndef remember({body}")
    solvers.write_text(f"from recon_bench.operators.memory import remember\n{head}operator_norm = remember(norm){rest}")
    assert identities(checkout) == before


def test_what_methods_use_of_the_package_counts_or_is_known_not_to():
    """A numerical module that is not named would be a change that nobody sees."""
    by_name = {"core", "recipe", "cache", "weights"}  # held by their names, the seals of weights and tests of contents
    for path in sorted((storage.REPOSITORY / "baselines").glob("*.py")):
        for base, parts in identity._parsed(path, path.read_bytes()).imports.values():
            if base is None and parts[0] == "recon_bench":
                assert parts[1] in {*identity.NUMERICAL, *by_name}, f"{path.name} uses {'.'.join(parts)}"
