"""A new method, from anywhere: written, tried, put beside the committed board."""

import errno
import json
import os
import shlex
import sys

import numpy as np
import pytest

from recon_bench import identity, registry, templates
from recon_bench.cli import options
from recon_bench.cli.main import main
from recon_bench.results import load
from recon_bench.scoring.frames import raised_at
from recon_bench.storage import REPOSITORY
from recon_bench.submission import standing
from recon_bench.tables.export import reproduce

TASK = "ct-ellipses-30"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, and quick scores of one batch."""
    monkeypatch.setattr(standing, "SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_method_is_a_file_that_is_tried_at_once(here, capsys):
    assert main(["new-method", "steepest-way"]) == 0
    assert "recon-bench try steepest_way.py" in capsys.readouterr().out
    assert main(["try", "steepest_way.py", "--task", TASK, "--json"]) == 0
    [trial] = json.loads(capsys.readouterr().out)
    assert (trial["method"], trial["task"]) == ("steepest-way", TASK)
    stands = trial["standing"]
    value, low, high = stands["psnr"]
    assert low < value < high and stands["images"] == standing.BATCH
    committed = {
        r.method["name"] for r in load(options.COMMITTED)[0] if r.task["name"] == TASK and r.kind == "accuracy"
    }
    assert 1 < stands["best"] <= stands["rank"] <= stands["worst"] <= stands["others"] + 1 <= len(committed) + 1


def test_a_network_waits_for_its_training(here, capsys):
    assert main(["new-method", "own-network", "--learned"]) == 0
    assert main(["try", "own_network.py"]) == 0
    said = capsys.readouterr().out
    assert "It honours the contract" in said and f"recon-bench train {here / 'own_network.py'} --task {TASK}" in said


def test_a_file_is_not_overwritten_and_names_are_checked(here, capsys):
    (here / "mine.py").write_text("precious")
    for name, told in (("mine", "is there already"), ("fbp", "is taken"), ("My Method", "small letters")):
        assert main(["new-method", name]) == 2
        assert told in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["mine.py"] and (here / "mine.py").read_text() == "precious"


def test_on_a_full_disk_no_file_is_begun(here, monkeypatch, capsys):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert main(["new-method", "mine"]) == 2
    assert capsys.readouterr().err == "recon-bench: mine.py: no space left on device\n" and not any(here.iterdir())


def test_what_is_broken_is_an_exit_status(here, capsys):
    text = templates.text("iterative").replace("return x\n", "return x.double()\n")
    (here / "careless.py").write_text(text)
    assert main(["try", "careless.py"]) == 1
    assert "expected images of A.dtype = torch.float32, got torch.float64" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "check", "told"),
    [
        ("return None", "runs", "TypeError: expected a function of y and A from build, got NoneType"),
        ("raise SystemExit(3)", "runs", "SystemExit: 3 at careless.py:"),
        ("if max(problem.operator.domain_shape) > 40: raise SystemExit(3)", "runs on the task", "SystemExit: 3 at "),
    ],
)
def test_a_build_that_gives_nothing_is_told_so_and_what_is_printed_is_no_answer(here, capfd, line, check, told):
    begin = "    step = 1 / norm"
    text = templates.text("iterative", "careless").replace(begin, f"    os.system('echo inside')\n    {line}\n{begin}")
    (here / "careless.py").write_text(text.replace("import torch\n", "import os\nimport torch\nprint('above')\n", 1))
    assert main(["try", "careless.py", "--json"]) == 1
    said = capfd.readouterr()
    [trial] = json.loads(said.out)
    (runs,) = [finding for finding in trial["findings"] if finding["check"] == check]
    assert runs["failed"].startswith(told) and "inside" in said.err and "above" in said.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_package", "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        ("raise SystemExit(0)", "cannot be imported: SystemExit"),
        ("METHODS = ('fbp',)", "expected a Method, several of them, or a function that gives some; found ('fbp',)"),
    ],
)
def test_a_file_that_gives_no_method_is_told_in_a_line(here, capsys, text, told):
    (here / "careless.py").write_text(text)
    assert main(["try", "careless.py"]) == 2
    assert told in capsys.readouterr().err


def test_where_it_does_not_apply_the_other_task_is_tried(here, capsys):
    assert main(["try", "zero-filled", "--json", "--results", str(here / "nowhere")]) == 0
    [trial] = json.loads(capsys.readouterr().out)
    assert trial["task"] == "mri-brain-4x" and trial["standing"]["others"] == 0
    assert main(["try", "zero-filled", "--task", TASK]) == 2
    assert "needs Fourier data" in capsys.readouterr().err


FACTORY = """
import dataclasses
{lines}
from one_method import METHODS as FOUND

only = dataclasses.replace(FOUND[0], name="only")

def several():
    return [dataclasses.replace(FOUND[0], name=name) for name in ("first", "second")]

def none():
    return 3
"""


@pytest.fixture
def module(here, monkeypatch):
    """A module with methods that can be imported."""
    (here / "one_method.py").write_text(templates.text("iterative", "unique"))
    (here / "made_methods.py").write_text(FACTORY.format(lines=""))
    monkeypatch.syspath_prepend(str(here))
    yield here
    for name in ("one_method", "made_methods"):
        sys.modules.pop(name, None)


def test_methods_come_from_a_module(module):
    assert registry.method("one_method:METHODS").name == "unique"
    assert registry.method("made_methods:only").name == "only"
    assert list(registry.given("made_methods:several")) == ["first", "second"]
    assert registry.method("made_methods:several:second").name == "second"
    for asked, told in (
        ("made_methods:several", "choose one as made_methods:several:NAME"),
        ("made_methods:none", "a function that gives some; found 3"),
        ("made_methods:nothing", "found None"),
        ("no_such_module:make", "no module no_such_module"),
    ):
        with pytest.raises(registry.UnknownName, match=told):
            registry.method(asked)


def test_a_method_of_a_module_is_measured_and_its_rank_is_where_the_run_says(module, capsys):
    words = ["--tasks", "ct-shepp-logan-30", "--measurements", "accuracy", "--rules", "quick", "--results", "mine"]
    for _ in range(2):  # the second time nothing is left to do
        assert main(["run", "--methods", "made_methods:only", *words]) == 0
        *_, last = capsys.readouterr().out.splitlines()
        assert last == "Ranks, by accuracy: recon-bench board ct-shepp-logan-30 --rules quick --results mine"
    [result], _ = load(module / "mine")
    assert (result.method["name"], result.status) == ("only", "ok")
    assert main(shlex.split(last)[4:]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.split()[:2] == ["1", "only"]]


def test_an_error_of_a_method_names_its_line(here, capsys):
    bad = "        raise ValueError('too bad')"
    code = templates.text("iterative", "mine").replace("        x = step", f"{bad}\n        x = step")
    (here / "sub").mkdir()
    (here / "sub" / "mine.py").write_text(code)
    line = 1 + code.splitlines().index(bad)
    words = ["--tasks", "ct-shepp-logan-30", "--measurements", "accuracy", "--rules", "quick", "--results", "own"]
    assert main(["run", "--methods", "sub/mine.py", *words]) == 0
    [result], _ = load(here / "own")
    assert result.reason == f"ValueError: too bad at sub/mine.py:{line}" and result.reason in capsys.readouterr().out
    assert "--methods ./sub/mine.py" in reproduce(result)
    assert main(["try", "sub/mine.py"]) == 1
    assert f"BROKEN: {result.reason}\n" in capsys.readouterr().out


def test_an_error_in_a_library_names_the_line_that_called_it(here):
    (here / "called.py").write_text("import numpy as np\n\ndef refuse():\n    np.linalg.inv(np.zeros((2, 2)))\n")
    found = {}
    exec(compile((here / "called.py").read_text(), str(here / "called.py"), "exec"), found)
    with pytest.raises(np.linalg.LinAlgError) as raised:
        found["refuse"]()
    assert raised_at(raised.value) == "called.py:4" and raised_at(ValueError("never raised")) == ""


def test_the_code_of_a_factory_is_what_it_says_and_imports(module):
    first = identity.of_file(module / "made_methods.py")
    (module / "made_methods.py").write_text(FACTORY.format(lines="# said otherwise"))
    assert identity.of_file(module / "made_methods.py") == first
    (module / "one_method.py").write_text(
        templates.text("iterative", "unique").replace("iterations: int = 50", "iterations: int = 51")
    )
    second = identity.of_file(module / "made_methods.py")
    (module / "made_methods.py").write_text(FACTORY.format(lines="").replace('"second"', '"other"'))
    assert len({first, second, identity.of_file(module / "made_methods.py")}) == 3


def test_own_results_stand_beside_the_committed_ones(here, capsys):
    committed = REPOSITORY / "results"
    [card] = (committed / TASK).glob("task-*.json")
    [source] = (committed / TASK / "landweber").glob("accuracy-*.json")
    for file in (card, source):
        copy = here / "results" / file.relative_to(committed)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    assert main(["board", TASK, "--json", "--alone"]) == 0
    assert [row["method"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["landweber"]
    assert main(["board", "--json"]) == 0  # of all tasks with own results
    [data] = json.loads(capsys.readouterr().out)
    marks = {row["method"]: row["mark"] for row in data["rows"]}
    assert len(marks) > 20 and set(marks.values()) <= {"reference", "self-reported", ""}


def test_without_own_results_the_committed_ones_are_read(here, capsys):
    assert main(["board", TASK, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) > 20
