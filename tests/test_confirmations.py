"""Which results also stand for other code: entries, their seals, and `recon-bench confirm` on a method in a file."""

import dataclasses
import itertools
import shutil
import statistics
from pathlib import Path

import pytest

from recon_bench import registry, results
from recon_bench.cli.main import main
from recon_bench.measurement import Record
from recon_bench.results import confirmations, load
from recon_bench.results.check import check
from recon_bench.results.confirmations import Compared, Entry
from recon_bench.rules import QUICK, Rules
from recon_bench.run import journal, runner
from recon_bench.run.confirm import confirm
from tests.helpers_results import make_cell, write_cell, write_tree

TASK = "ct-shepp-logan-30"
TESTS = Path(__file__).parent
IDS = [f"{number:016x}" for number in range(5)]


def carried(method="fbp", old=0, new=1, kinds=("accuracy",), **more) -> Entry:
    return Entry("carried", method, kinds, IDS[old], IDS[new], **more)


def compared(found=30.0, metric="psnr", within=None) -> Compared:
    return Compared('["test-0000", {}, 0]', metric, 30.0, found, within)


@pytest.fixture
def root(tmp_path):
    """A results folder with three entries."""
    root = write_tree(tmp_path / "results", tasks=(TASK,), methods=("fbp",), images=2)
    entries = [carried(old=0, new=1), carried(old=1, new=2)]
    confirmations.append(entries, root)
    confirmations.append([dataclasses.replace(carried(old=2, new=3), what="confirmed", compared=[compared()])], root)
    return root


def lines(root) -> list[str]:
    return (root / confirmations.NAME).read_text().splitlines()


def test_entries_are_read_as_they_were_appended(root):
    assert check(root) == []
    assert [(entry.old, entry.new) for entry in confirmations.read(root)] == list(itertools.pairwise(IDS[:4]))
    assert confirmations.read(root)[2].compared == [compared()]


@pytest.mark.parametrize(
    ("change", "number", "said"),
    [
        (lambda t: [t[0], t[1].replace(IDS[2], IDS[4]), t[2]], 2, "was changed, or a line before it was taken out"),
        (lambda t: [t[0], t[2]], 2, "was changed, or a line before it was taken out"),
        (lambda t: t[1:], 1, "was changed, or a line before it was taken out"),
        (lambda t: [t[0], t[2], t[1]], 2, "was changed, or a line before it was taken out"),
        (lambda t: [*t[:2], t[2][:-20]], 3, "is no entry (JSONDecodeError"),
        (lambda t: [*t[:2], "", t[2]], 3, "is no entry (JSONDecodeError"),
        (lambda t: [*t[:2], '{"seal": "0", "entry": "mine"}'], 3, "is no entry (AttributeError"),
        (lambda t: [*t[:2], '{"seal": "0", "entry": {"what": "carried"}}'], 3, "is no entry (TypeError"),
    ],
    ids=["edited", "removed", "first removed", "out of order", "torn", "empty", "no object", "fields missing"],
)
def test_a_file_that_was_changed_is_told_by_its_line_which_does_not_count(root, change, number, said):
    (root / confirmations.NAME).write_text("\n".join(change(lines(root))) + "\n")
    first, *_ = check(root)
    assert f"{confirmations.NAME}:{number}: " in first and said in first
    assert len(confirmations.read(root)) < len(lines(root))
    with pytest.raises(results.ResultError, match=rf"jsonl:{number}: "):
        confirm(root)


def test_a_file_without_its_last_line_break_goes_on(root):
    path = root / confirmations.NAME
    path.write_text(path.read_text().rstrip("\n"))
    confirmations.append([carried(old=3, new=4)], root)
    assert check(root) == [] and len(confirmations.read(root)) == 4


@pytest.mark.parametrize(
    ("found", "agrees"),
    [
        (compared(30.0009), True),
        (compared(30.0011), False),
        (compared(30.002, metric="ssim"), True),
        (compared(30.004, metric="ssim"), False),
        (compared(31.0, "s", (29.0, 31.5)), True),
        (compared(31.6, "s", (29.0, 31.5)), False),
        (compared(float("nan")), False),
    ],
)
def test_values_agree_within_the_noise_of_repeated_runs(found, agrees):
    assert found.agrees is agrees


def test_what_does_not_agree_is_no_confirmation(root):
    before = len(confirmations.read(root))
    for wrong in ({"compared": [compared(), compared(30.2)]}, {}):
        confirmations.append([dataclasses.replace(carried(old=3, new=4), what="confirmed", **wrong)], root)
    first, second = check(root)
    assert "says that psnr of" in first and "30 recorded, 30.2 found" in first
    assert "is confirmed by nothing" in second
    assert len(confirmations.read(root)) == before


def standing(root, kind, method="fbp") -> frozenset[str]:
    """What the results of a kind and method that :func:`measured` wrote stand for."""
    (found,) = [result for result in load(root)[0] if (result.kind, result.method["name"]) == (kind, method)]
    return found.codes


def measured(root, kind, method="fbp", **header) -> Path:
    cell = make_cell(TASK, 1, method, kind, images=2)
    return write_cell(root, dataclasses.replace(cell, method={**cell.method, "hash": IDS[0], **header}))


def test_an_entry_makes_old_results_stand_for_new_code_of_its_method_and_kinds_alone(tmp_path):
    for kind, method in (("accuracy", "fbp"), ("runtime", "fbp"), ("accuracy", "cgls")):
        measured(tmp_path, kind, method)
    confirmations.append([carried(old=1, new=2), carried(old=0, new=1)], tmp_path)
    assert standing(tmp_path, "accuracy") == set(IDS[:3])  # in whatever order the two were said
    assert standing(tmp_path, "runtime") == standing(tmp_path, "accuracy", "cgls") == {IDS[0]}


def test_an_entry_of_one_task_leaves_the_others_alone(tmp_path):
    measured(tmp_path, "accuracy")
    confirmations.append([carried(task="ct-head-50")], tmp_path)
    assert standing(tmp_path, "accuracy") == {IDS[0]}
    confirmations.append([carried(task=TASK)], tmp_path)
    assert standing(tmp_path, "accuracy") == set(IDS[:2])


def test_the_new_code_does_not_stand_for_the_old(tmp_path):
    measured(tmp_path, "accuracy")
    confirmations.append([carried(old=1, new=0)], tmp_path)
    assert standing(tmp_path, "accuracy") == {IDS[0]}


def test_results_with_weights_before_stand_for_weights_after(tmp_path):
    name, other = f"{TASK}/fbp", f"{TASK}/fbp-seed1"
    measured(tmp_path, "accuracy", weights={name: "a" * 64})
    confirmations.append([carried(old=0, new=0, before={name: "a" * 64}, after={name: "b" * 64})], tmp_path)
    (result,) = load(tmp_path)[0]
    assert result.stands_for(IDS[0], {name: "a" * 64}) and result.stands_for(IDS[0], {name: "b" * 64})
    for weights in ({name: "c" * 64}, {other: "b" * 64}, {}, {name: "b" * 64, other: "b" * 64}):
        assert not result.stands_for(IDS[0], weights)
    assert not result.stands_for(IDS[1], {name: "b" * 64})


class Project:
    """A method in a file of its own and a folder with its results."""

    def __init__(self, folder: Path, source: Path, rules: Rules = QUICK, kinds=("accuracy",)) -> None:
        self.file, self.root, self.rules, self.kinds = folder / source.name, folder / "results", rules, list(kinds)
        self.file.write_text(source.read_text())

    def run(self, **options) -> None:
        runner.run([TASK], [str(self.file)], self.kinds, self.rules, self.root, **options)

    def edit(self, before: str, after: str) -> None:
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after))

    def confirm(self, *more: str) -> int:
        return main(["confirm", "--methods", str(self.file), "--results", str(self.root), "--jobs", "1", *more])

    def entries(self) -> list[Entry]:
        return confirmations.read(self.root)


@pytest.fixture
def steps(tmp_path):
    project = Project(tmp_path, TESTS / "plugins" / "steps.py")
    project.run()
    return project


def test_a_comment_makes_nothing_stale(steps, capsys):
    steps.edit("        return x\n", "        return x  # an image\n")
    capsys.readouterr()
    steps.run(dry_run=True)
    assert "0 cells to run" in capsys.readouterr().out
    assert steps.confirm() == 0 and steps.entries() == []
    assert "0 results measured with other code" in capsys.readouterr().out


def test_code_that_gives_the_same_is_confirmed_and_needs_no_measuring(steps, capsys):
    steps.edit("reconstruct", "rebuild")
    capsys.readouterr()
    steps.run(dry_run=True)
    told = capsys.readouterr().out
    assert "1 cell to run" in told
    assert f"recon-bench confirm --methods {steps.file} --results {steps.root}" in told
    assert steps.confirm() == 0
    assert "1 are confirmed, 0 are to be measured again" in capsys.readouterr().out
    (entry,) = steps.entries()
    assert (entry.what, entry.task, list(entry.kinds)) == ("confirmed", TASK, ["accuracy"])
    assert {c.key for c in entry.compared} == {f'["test-000{i}", {{}}, 0]' for i in (0, 1)}
    assert {"machine", "commit", "clean", "when", "command"} <= entry.provenance.keys()
    steps.run()
    assert "0 cells to run" in capsys.readouterr().out
    assert len(load(steps.root)[0]) == 1 and check(steps.root) == []
    assert steps.confirm() == 0 and len(steps.entries()) == 1  # once is enough


def test_code_that_gives_something_else_is_told_by_how_much(steps, capsys):
    steps.edit("x - step", "x - 0.9 * step")
    assert steps.confirm() == 1 and steps.entries() == []
    told = capsys.readouterr()
    assert f"{TASK} · steps · accuracy, first 2 images: " in told.err and " was " in told.err and ", now " in told.err
    assert "0 are confirmed, 1 are to be measured again" in told.out
    steps.run()
    assert len(load(steps.root)[0]) == 2


def test_code_that_fails_is_not_confirmed(steps, capsys):
    steps.edit("def build(problem, settings):\n", "def build(problem, settings):\n    raise OSError('no luck')\n")
    assert steps.confirm() == 1 and steps.entries() == []
    assert "OSError: no luck" in capsys.readouterr().err


def test_what_is_not_applicable_is_confirmed_while_it_is_not_whatever_the_reason(tmp_path, capsys):
    project = Project(tmp_path, TESTS / "methods" / "one.py")
    project.run(overrides={"one": {"trouble": "not-applicable"}})
    project.edit("x = A.adjoint(y)", "x = 1 * A.adjoint(y)")
    assert project.confirm() == 0
    (entry,) = project.entries()
    assert entry.reason == "this method is shy" and not entry.compared and check(project.root) == []
    project.edit("is shy", "is bold")
    assert project.confirm() == 0 and project.entries()[-1].reason == "this method is bold"
    project.edit("raise NotApplicable", "raise ValueError")
    assert project.confirm() == 1 and len(project.entries()) == 2
    assert "was not applicable, now {'end': 'failed'" in capsys.readouterr().err


def test_a_tuning_is_confirmed_with_the_accuracy_that_it_led_to(tmp_path):
    rules = Rules("test", 1, images=3, tuning_evaluations=3, tuning_images=1)
    project = Project(tmp_path, TESTS / "methods" / "one.py", rules, ("tuning", "accuracy"))
    project.run()
    project.edit("x = A.adjoint(y)", "x = 1 * A.adjoint(y)")
    assert project.confirm("--measurements", "tuning") == 1  # by itself it says nothing
    assert project.confirm() == 0
    kinds = {kind: entry for entry in project.entries() for kind in entry.kinds}
    assert (
        kinds.keys() == {"accuracy", "tuning"}
        and kinds["tuning"].follows == "accuracy"
        and not kinds["tuning"].compared
    )
    assert len(kinds["accuracy"].compared) > 2 and check(project.root) == []


def test_what_was_measured_with_code_between_follows_an_accuracy_that_was_confirmed_for_it(tmp_path, capsys):
    project = Project(tmp_path, TESTS / "methods" / "one.py")
    project.run()
    project.edit("x = A.adjoint(y)", "x = 1 * A.adjoint(y)")
    assert project.confirm() == 0
    project.kinds = ["pictures"]
    project.run()
    project.edit("x = 1 * A.adjoint(y)", "x = A.adjoint(y) * 1")
    (pictures,) = [result for result in load(project.root)[0] if result.kind == "pictures"]
    assert project.confirm() == 0
    assert project.entries()[-1].old == pictures.method["hash"] and check(project.root) == []
    pictures.path.unlink()
    results.write(dataclasses.replace(pictures, status="partial"), project.root)
    project.edit("x = A.adjoint(y) * 1", "x = +A.adjoint(y)")
    assert project.confirm() == 1 and "a part of it had failed" in capsys.readouterr().err


def test_a_timing_of_another_machine_is_measured_again(tmp_path, capsys):
    project = Project(tmp_path, TESTS / "plugins" / "steps.py", kinds=("runtime",))
    project.run()
    (result,) = load(project.root)[0]
    machine = {**result.provenance["machine"], "id": IDS[1]}
    result.path.unlink()
    results.write(dataclasses.replace(result, provenance={**result.provenance, "machine": machine}), project.root)
    project.edit("reconstruct", "rebuild")
    assert project.confirm() == 1 and project.entries() == []
    assert f"{TASK} · steps · runtime: timed on another machine" in capsys.readouterr().err


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """The results of a method that was timed."""
    project = Project(tmp_path_factory.mktemp("timed"), TESTS / "plugins" / "steps.py", kinds=("runtime",))
    project.run()
    return project.root


@pytest.fixture
def timing(timed, tmp_path):
    """They, where its code was changed and gives the same."""
    project = Project(tmp_path, TESTS / "plugins" / "steps.py", kinds=("runtime",))
    shutil.copytree(timed, project.root)
    project.edit("reconstruct", "rebuild")
    return project


class Timed:
    """An executor whose processes find these records."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    def start(self, job) -> None:
        journal.append(job.journal, *map(journal.record, self.records), journal.end("ok", None, {}))

    def poll(self, started) -> int:
        return 0

    def wait(self, started, seconds) -> None:
        pass

    def kill(self, started) -> None:
        pass


def retimed(factor=1.0, **more):
    """New repeats that take ``factor`` of the median of the recorded ones."""

    def records(result) -> list[Record]:
        found = []
        for name, metric in (("reconstruct-0", "seconds"), ("batch-0", "batch_seconds")):
            values = [record["values"][metric] for record in result.records if metric in record["values"]]
            found.append(Record(name, {metric: factor * statistics.median(values)}, **more))
        return found

    return records


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (retimed(), None),
        (retimed(50.0), " was "),
        (retimed(note="timed on a loaded machine: others used 1.40 cores"), "timed on a loaded machine"),
        (lambda result: [Record("reconstruct-0", error="the timed reconstruction differs")], "reconstruction differs"),
    ],
    ids=["the same", "slower", "loaded", "something else"],
)
def test_a_timing_is_confirmed_by_a_quiet_and_honest_one_that_takes_as_long(timing, capsys, found, said):
    (result,) = load(timing.root)[0]
    executor = Timed(found(result))
    assert confirm(timing.root, methods=[str(timing.file)], executor=executor) == (said is not None)
    error = capsys.readouterr().err
    if said is None:
        (entry,) = timing.entries()
        assert [c.metric for c in entry.compared] == ["seconds", "batch_seconds"] and check(timing.root) == []
    else:
        assert timing.entries() == [] and f"{TASK} · steps · runtime: " in error and said in error


def test_a_task_of_a_file_is_confirmed_as_well(tmp_path):
    shifted, steps = (str(TESTS / "plugins" / f"{name}.py") for name in ("shifted", "steps"))
    method = tmp_path / "steps.py"
    method.write_text(Path(steps).read_text())
    runner.run([shifted], [str(method)], ["accuracy"], QUICK, tmp_path / "results")
    method.write_text(method.read_text().replace("reconstruct", "rebuild"))
    assert confirm(tmp_path / "results", [shifted], [str(method)]) == 0
    assert [entry.task for entry in confirmations.read(tmp_path / "results")] == [registry.task(shifted).name]


@pytest.mark.parametrize("option", ["--tasks", "--methods", "--measurements"])
def test_an_unknown_name_is_no_silence(root, option, capsys):
    assert main(["confirm", option, "nothing-such", "--results", str(root)]) != 0
    assert "nothing-such" in capsys.readouterr().err
