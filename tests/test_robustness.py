"""Robustness: accuracy beside stability, masked gradients, what fails alone, files, verdicts and the page."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch

from recon_bench import deq, registry, storage
from recon_bench.cli.main import main
from recon_bench.measurement import Cell
from recon_bench.measurements import robustness
from recon_bench.measurements.corruptions import MEASUREMENT as CORRUPTIONS
from recon_bench.measurements.corruptions import PROTOCOL as CORRUPTED
from recon_bench.measurements.robustness import MEASUREMENT, PROTOCOL, STRIP, points
from recon_bench.results import load, write
from recon_bench.results.check import check
from recon_bench.results.traits import TRAITS
from recon_bench.rules import BROKEN, FULL, LATE, QUICK
from recon_bench.scoring import submitted
from recon_bench.scoring.attack import Budget, Found
from recon_bench.site.pages import index as front
from recon_bench.site.pages import robustness as robustness_page
from recon_bench.site.render import render
from recon_bench.tables.board import board
from recon_bench.tables.claims import FAILS, HOLDS, MIXED, OPEN, claims
from recon_bench.tables.corruptions import heat
from recon_bench.tables.robustness import GROWING, MASKED, WITHOUT, row, rows
from tests.helpers_results import make_cell, picture, record, write_tree
from tests.helpers_training import TOY

SMALL = dataclasses.replace(
    PROTOCOL, levels=(0.0, 0.02, 0.08), images=2, draws=2, budget=Budget(restarts=4, first=6, steps=3)
)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(robustness, "QUICK", SMALL)
    monkeypatch.setattr(storage, "ATTACKS", tmp_path / "attacks")


def method(reconstruct):
    """FBP with another way to reconstruct."""
    return dataclasses.replace(registry.method("fbp"), build=lambda problem, settings: reconstruct)


def cell(asked, **at):
    return Cell(TOY, asked, asked.settings, dataclasses.replace(QUICK, cell_minutes=20.0), torch.device("cpu"), at)


def measured(asked, done=(), **at):
    pictures = {}
    records = robustness.measure(
        cell(asked, **at), {r.key: r for r in done}, lambda name, *rest: pictures.update({name: rest})
    )
    return list(records), pictures


def result(name, records, kind=MEASUREMENT, protocol=SMALL, family=None):
    """A result of these records."""
    made = make_cell("ct-ellipses-30", 2, name, "accuracy")
    header = {"metrics": [dataclasses.asdict(metric) for metric in kind.metrics], "version": 1, "hash": "0" * 16}
    header |= {"title": kind.title, "protocol": dataclasses.asdict(protocol)}
    header |= {"traits": {**TRAITS, "hidden": list(kind.hidden)}}
    records = [dataclasses.asdict(r) if dataclasses.is_dataclass(r) else r for r in records]
    facts = {**made.method, **({"family": family} if family else {})}
    header = json.loads(json.dumps(header))
    changes = {"kind": kind.name, "measurement": header, "records": records, "images": {}, "method": facts}
    return dataclasses.replace(made, status="ok", reason=None, **changes)


def constant(y, A):
    return torch.full((len(y), 32, 32), 0.5) + 0 * y.sum()


def test_a_constant_map_is_perfectly_stable_and_its_accuracy_stands_beside():
    records, _ = measured(method(constant))
    made = row(result("fbp", records))
    assert made.amplification.value == 0 and made.over_random == 1 and not made.flags
    expected = [TOY.samples("test")[i] for i in range(2)]
    errors = [float((0.5 - s.truth).norm() / s.truth.norm()) for s in expected]
    assert made.mean("error").value == pytest.approx(np.mean(errors), rel=1e-5)
    psnrs = [20 * math.log10(2) - 10 * math.log10(float((0.5 - s.truth).square().mean())) for s in expected]
    assert made.mean("psnr", 0.0).value == pytest.approx(np.mean(psnrs), abs=1e-4)


def test_fbp_reaches_its_exact_worst_case_and_goes_beyond_noise():
    records, pictures = measured(registry.method("fbp"), image=0)
    assert {r.at.get("image", 0) for r in records} == {0}
    (at_level,) = [r for r in records if r.at.get("level") == 0.02]
    assert 0.99 < at_level.values["error"] / at_level.values["exact"] < 1.001
    assert (
        at_level.values["error"] > at_level.values["random"]
        and at_level.values["local"] > at_level.values["local_clean"]
    )
    assert at_level.values["reached"] == pytest.approx(0.02, rel=1e-4)
    (scalar,) = [r for r in records if not r.at]
    clean = records[0].values["error"]
    assert scalar.values["amplification"] == pytest.approx((at_level.values["error"] - clean) / 0.02)
    assert list(pictures) == list(STRIP) and pictures[STRIP[0]][0].shape == (32, 32, 3)


@pytest.mark.parametrize("error", [MemoryError("for x"), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_starts_that_do_not_fit_into_memory_together_are_followed_in_parts(error):
    fbp = registry.method("fbp")

    def build(problem, settings):
        usual = fbp.build(problem, settings)

        def reconstruct(y, A):
            if y.requires_grad and len(y) > 1:
                raise error
            return usual(y, A)

        return reconstruct

    plenty, short = (measured(each, image=0)[0] for each in (fbp, dataclasses.replace(fbp, build=build)))
    assert [r.at for r in short] == [r.at for r in plenty] and not any(r.error or r.note for r in short)
    for mine, theirs in zip(short, plenty):
        assert mine.values == pytest.approx(theirs.values, rel=1e-4)


def quantised(y, A):
    """A reconstruction whose gradient is zero: values are rounded, and what autograd sees is nothing."""
    fbp = registry.method("fbp")
    x = fbp.build(TOY.problem(), fbp.settings)(y.detach(), A)
    return (x * 64).round() / 64 + 0 * y.sum()


def test_a_masked_gradient_is_found_out():
    records, _ = measured(method(quantised))
    made = row(result("fbp", records))
    assert made.flags == (MASKED,) and made.mean("blind").value == 1
    assert made.mean("by_query").value > made.mean("by_gradient").value
    honest = row(result("fbp", measured(registry.method("fbp"))[0]))
    assert MASKED not in honest.flags
    assert made.mean("error").value == pytest.approx(honest.mean("error").value, rel=0.02)  # as strong, without it


def test_without_a_gradient_queries_and_surrogates_attack_every_level():
    def detached(y, A):
        return quantised(y, A).detach()

    records, _ = measured(method(detached), image=1)
    levels = {r.at["level"]: r for r in records if "level" in r.at}
    assert all({"by_query", "by_transfer"} <= levels[level].values.keys() for level in (0.02, 0.08))
    assert levels[0.0].note.startswith("no gradient: RuntimeError") and "by_gradient" not in levels[0.08].values
    assert levels[0.08].values["error"] > levels[0.02].values["error"] > levels[0.02].values["random"]
    assert row(result("fbp", records)).flags == (WITHOUT,)
    with_gradient = {r.at["level"]: r for r in measured(method(quantised), image=1)[0] if "level" in r.at}
    made = {level: levels[level].values["steps"] for level in levels if level}
    assert made == {level: with_gradient[level].values["steps"] for level in made}


def test_a_gradient_that_is_not_finite_is_none():
    def rough(y, A):
        return A.adjoint(y) / 100 + (0 * y.abs().sum((-2, -1)).sub(y.abs().sum((-2, -1))).sqrt())[:, None, None]

    records, _ = measured(method(rough), image=0)
    assert "no gradient: RuntimeError: it has values that are NaN or infinite" in records[0].note
    assert [r.error for r in records] == [None] * 4


def test_an_image_that_fails_leaves_the_others():
    def shy(y, A):
        first = TOY.samples("test")[0].data
        far = ((y - first).flatten(1).norm(dim=1) > 0.5 * first.norm()).float()
        return A.adjoint(y) / 100 / far[:, None, None]

    records, _ = measured(method(shy))
    failed = [r for r in records if r.error]
    assert {r.at.get("image") for r in failed} == {0.0, None} and "NaN or infinite" in failed[0].error
    assert [r.at["level"] for r in records if r.at.get("image") == 1.0] == [0.0, 0.02, 0.08]


def test_what_fails_under_perturbations_alone_is_no_robust_method():
    def brittle(y, A):
        known = torch.stack([TOY.samples("test")[i].data for i in range(2)])
        same = (y[:, None] - known).flatten(2).norm(dim=2).amin(1) == 0
        return A.adjoint(y) / 100 / same[:, None, None].float()

    records, _ = measured(method(brittle), image=0)
    assert [r.error is None for r in records] == [True, False, False]
    assert all("NaN or infinite" in r.error for r in records[1:])
    made = row(result("fbp", records))
    assert not made.images.get(0.02) and len(made.missing) == 2


def test_a_method_that_changes_between_calls_is_said_to():
    generator = torch.Generator().manual_seed(0)

    def dice(y, A):
        return constant(y, A) + 0.1 * torch.randn(len(y), 32, 32, generator=generator)

    records, _ = measured(method(dice), image=0)
    told = re.search(r"the same data give another image when they come again \(by (\S+)\)", records[0].note)
    made, said = result("fbp", records), f"changes between calls by {100 * float(told[1]):g} %"
    assert said in row(made).flags
    on_gpu = dataclasses.replace(made, provenance={**made.provenance, "device": "cuda"})
    assert f"{said} on a GPU" in row(on_gpu).flags


def test_seeds_of_a_method_that_draws_numbers_are_averaged():
    @dataclasses.dataclass(frozen=True)
    class Settings:
        seed: int = 0

    drawn = dataclasses.replace(
        registry.method("fbp"),
        settings=Settings(),
        build=lambda problem, settings: lambda y, A: torch.full((len(y), 32, 32), 1.0 + settings.seed) + 0 * y.sum(),
    )
    truth = TOY.samples("test")[0].truth
    errors = [float((1.0 + seed - truth).norm() / truth.norm()) for seed in PROTOCOL.seeds]
    assert measured(drawn, image=0)[0][0].values["error"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_of_an_equilibrium_the_worse_of_both_gradients_counts():
    def build(problem, settings):
        fbp = registry.method("fbp")
        x = fbp.build(problem, fbp.settings)
        return lambda y, A: x(y, A) if settings.backward == "phantom" else x(y.detach(), A) + 0 * y.sum()

    fbp = registry.method("fbp")
    asked = dataclasses.replace(fbp, family="equilibrium", settings=deq.Settings(), build=build)
    both, alone = (measured(m, image=0)[0] for m in (asked, fbp))
    worst = [[r.values["by_gradient"] for r in found if r.at.get("level") == 0.08] for found in (both, alone)]
    assert worst[0] == pytest.approx(worst[1], rel=0.01)


def test_out_of_time_keeps_what_was_found(monkeypatch):
    monkeypatch.setattr(robustness, "PROTOCOL", dataclasses.replace(PROTOCOL, minutes=0.0))
    records, _ = measured(registry.method("fbp"), image=0)
    levels = {r.at["level"]: r for r in records if "level" in r.at}
    assert levels[0.0].values and levels[0.08].values["steps"] == 1
    assert levels[0.08].note == levels[0.02].note == LATE
    assert LATE in row(result("fbp", records)).flags


def test_an_attack_that_finds_nothing_is_no_weaker_than_noise(monkeypatch):
    def idle(ask, y, levels, *rest):
        still = torch.zeros_like(y)[None]
        for level in levels:
            yield Found(level, still, ask(still)[0], math.nan, 1, True, 0.0, 0.0)

    monkeypatch.setattr(robustness.attack, "sweep", idle)
    records, _ = measured(registry.method("fbp"), image=0)
    levels = {r.at["level"]: r.values for r in records if r.at.get("level")}
    assert all(values["error"] >= max(values["random"], values["by_gradient"]) for values in levels.values())
    assert levels[0.08]["error"] > levels[0.08]["random"] > levels[0.08]["by_gradient"]
    assert levels[0.08]["reached"] == pytest.approx(0.08, rel=1e-4)


def test_a_submitted_perturbation_counts_where_it_is_worse(monkeypatch):
    fbp, sample = registry.method("fbp"), TOY.samples("test")[0]
    before = measured(fbp, image=0)[0]
    x = fbp.build(TOY.problem(), fbp.settings)
    data = sample.data[None].clone().requires_grad_()
    (g,) = torch.autograd.grad((x(data, TOY.problem().operator) - sample.truth).square().sum(), data)
    folder = storage.ATTACKS / "toy" / "fbp"
    folder.mkdir(parents=True)
    np.savez(folder / "a.npz", **{"test-0000": (0.08 * sample.data.norm() * g[0] / g.norm()).numpy()})
    monkeypatch.setattr(robustness, "QUICK", dataclasses.replace(SMALL, budget=Budget(restarts=1, first=1, steps=1)))
    weak = measured(fbp, image=0)[0]
    for level in (0.02, 0.08):
        (value,) = [r.values for r in weak if r.at.get("level") == level]
        assert value["error"] == value["by_submitted"] > value["by_gradient"]
    assert "the worst was submitted on 1 of 1 images" in row(result("fbp", weak)).flags
    np.savez(folder / "b.npz", **{"test-0000": np.zeros(sample.data.shape, np.float32)})
    monkeypatch.setattr(robustness, "QUICK", SMALL)
    for old, new in zip(before, measured(fbp, image=0)[0]):
        assert new.values.get("error", 0) >= old.values.get("error", 0) - 1e-9  # a score is only lowered


def test_a_submitted_perturbation_without_a_reconstruction_leaves_what_was_found_and_is_said():
    fbp = registry.method("fbp")
    spoilt = torch.full_like(TOY.samples("test")[0].data, 0.0)
    spoilt[0, 0] = 0.07 * TOY.samples("test")[0].data.norm()

    def build(problem, settings):
        usual = fbp.build(problem, settings)
        least = 0.9 * float(spoilt[0, 0])
        return lambda y, A: (
            usual(y, A) + (torch.nan if float((y.detach() - TOY.samples("test")[0].data).max()) > least else 0)
        )

    fragile = dataclasses.replace(fbp, build=build)
    before = measured(fragile, image=0)[0]
    folder = storage.ATTACKS / "toy" / "fbp"
    folder.mkdir(parents=True)
    np.savez(folder / "a.npz", **{"test-0000": spoilt.numpy()})
    after = measured(fragile, image=0)[0]
    assert [r.values.get("error") for r in after] == [r.values.get("error") for r in before]
    assert not any(r.error for r in after)
    assert [r.note for r in after if r.at.get("level") == 0.08] == [BROKEN]
    assert BROKEN in row(result("fbp", after)).flags and BROKEN not in row(result("fbp", before)).flags


def test_a_file_that_cannot_be_used_changes_no_score_and_is_named(monkeypatch, capsys, tmp_path):
    fbp = registry.method("fbp")
    before = measured(fbp, image=0)[0]
    folder = storage.ATTACKS / "toy" / "fbp"
    folder.mkdir(parents=True)
    (folder / "broken.npz").write_bytes(b"no archive")
    np.save(folder / "renamed.npy", np.zeros(3))
    (folder / "renamed.npy").rename(folder / "renamed out of time.npz")
    np.savez(folder / "large.npz", **{"test-0000": np.ones(TOY.samples("test")[0].data.shape, np.float32)})
    after = measured(fbp, image=0)[0]
    assert [r.values for r in after] == [r.values for r in before] and not any(r.error for r in after)
    for name in ("broken.npz", "large.npz, test-0000", "renamed out of time.npz"):
        assert all(f"left out: {name}: expected" in r.note for r in after if r.at == {})
    assert not row(result("fbp", after)).flags
    monkeypatch.setattr(registry, "task", lambda name: TOY)
    assert main(["check", "--results", str(tmp_path)]) == 1
    assert "broken.npz: expected arrays as numpy.savez writes them" in capsys.readouterr().out


def test_the_command_says_what_a_file_does(tmp_path, capsys):
    task = registry.task("ct-ellipses-30")
    sample = task.observe("test", 3)
    e = 0.05 * sample.data * torch.where(torch.arange(183) % 2 == 0, 1.0, -1.0)
    np.savez(tmp_path / "mine.npz", **{"test-0003": e.numpy()})
    words = ["attack", "fbp", "--task", task.name, "--perturbation", str(tmp_path / "mine.npz"), "--json"]
    assert main([*words, "--results", str(tmp_path)]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["image"] == "test-0003" and told["size"] == pytest.approx(0.05) and told["found before"] is None
    assert told["with it"] > told["error"] > 0
    np.savez(tmp_path / "mine.npz", **{"test-0003": 2 * e.numpy()})
    assert main([*words, "--results", str(tmp_path)]) != 0
    assert "expected a norm of at most 0.08" in capsys.readouterr().err


CT = "ct-ellipses-30"


def test_check_finds_submitted_files_that_no_result_counts_yet_and_those_that_are_gone(tmp_path, capsys):
    root, folder = tmp_path / "results", storage.ATTACKS / CT / "fbp"
    folder.mkdir(parents=True)
    nothing = np.zeros_like(registry.task(CT).observe("test", 3).data)
    np.savez(folder / "mine.npz", **{"test-0003": nothing})

    def said_of_a_result(year, *files):
        note = "; ".join(f"counts {storage.sha256(file)}" for file in files) or None
        made = result("fbp", [record("test-0003", {"error": 0.4}, {"image": 3.0, "level": 0.02}, note=note)])
        write(dataclasses.replace(made, provenance={**made.provenance, "started": f"{year}-01-01T00:00:00Z"}), root)
        return said()

    def said():
        assert main(["check", "--results", str(root)]) == 1  # there is no card of the task either
        return [line for line in capsys.readouterr().out.splitlines() if "attacks" in line]

    (line,) = said_of_a_result(2026)
    assert "mine.npz: the newest result of robustness does not count it yet (test-0003)" in line
    assert f"recon-bench run --tasks {CT} --methods fbp --measurements robustness --force" in line
    mine = (folder / "mine.npz").read_bytes()
    assert not said_of_a_result(2027, mine)
    np.savez(folder / "another.npz", **{"test-0003": nothing + np.float32(1e-3)})
    (line,) = said()
    assert "another.npz: the newest result of robustness does not count it yet (test-0003)" in line
    assert not said_of_a_result(2028, mine, (folder / "another.npz").read_bytes())
    (folder / "another.npz").rename(folder / "renamed.npz")
    assert not said()
    (folder / "folder.npz").mkdir()
    assert len(said()) == 1 and "folder.npz" in said()[0]
    (folder / "folder.npz").rmdir()
    (folder / "mine.npz").unlink()
    (line,) = said()
    assert f"put back the file with sha256 {storage.sha256(mine)}" in line
    assert said_of_a_result(2029, (folder / "renamed.npz").read_bytes()) == [line]


def attack(folder, capsys, *more, method="fbp", **arrays):
    """What the command says of these perturbations for a method: its exit status, output and errors."""
    np.savez(folder / "mine.npz", **arrays)
    words = ["attack", method, "--task", CT, "--perturbation", str(folder / "mine.npz"), *more]
    status = main([*words, "--results", str(folder / "results")])
    return status, *capsys.readouterr()


def test_an_attack_on_what_does_not_apply_is_told_in_a_line(tmp_path, capfd):
    nothing = np.zeros(registry.task(CT).observe("test", 3).data.shape, np.float32)
    status, _, errors = attack(tmp_path, capfd, method="zero-filled", **{"test-0003": nothing})
    assert status == 2 and "needs Fourier data" in errors and "Traceback" not in errors


def test_a_file_is_compared_with_what_was_found_at_each_level(tmp_path, capsys):
    sample = registry.task(CT).observe("test", 3)
    nothing = np.zeros(sample.data.shape, np.float32)
    some = (0.05 * sample.data * torch.where(torch.arange(30) % 2 == 0, 1.0, -1.0)[:, None]).numpy()
    status, said, _ = attack(tmp_path, capsys, **{"test-0003": nothing})
    assert status == 1 and "no level" in said and "makes nothing worse than the data without it" in said
    status, said, _ = attack(tmp_path, capsys, **{"test-0003": some})
    assert status == 0 and "3 %, 5 %, 8 %" in said and "To have it count" in said
    for strong, levels, expected in ((0.05, "0.5 %, 1 %, 2 %, 3 %", 0), (0.0, "no level", 1)):
        found = [
            record("test-0003", {"error": 9.0 if level >= strong else 0.0}, {"image": 3.0, "level": level})
            for level in PROTOCOL.levels
        ]
        made = result("fbp", found, protocol=PROTOCOL)
        task = {**made.task, "hash": registry.task(CT).hash}
        path = write(dataclasses.replace(made, task=task), tmp_path / "results")
        status, said, _ = attack(tmp_path, capsys, **{"test-0003": some})
        assert status == expected and levels in said and "9.0" in said
        path.unlink()
    assert "makes nothing worse than what was found before" in said


BREAKS = """
from recon_bench.core import Method

METHODS = (Method("breaks", "Breaks", "direct", "", "none", lambda problem, settings: reconstruct, None),)


def reconstruct(y, A):
    return A.adjoint(y) / (y.abs().amax((-2, -1), keepdim=True) < 1e4)
"""


def test_a_perturbation_without_a_reconstruction_is_of_use(tmp_path, capsys):
    y = registry.task(CT).observe("test", 3).data
    spike = torch.zeros_like(y)
    spike.flatten()[y.argmax()] = 0.05 * torch.linalg.vector_norm(y)
    (tmp_path / "breaks.py").write_text(BREAKS.replace("1e4", repr(float(y.max() + 0.03 * y.norm()))))
    status, said, _ = attack(tmp_path, capsys, method=str(tmp_path / "breaks.py"), **{"test-0003": spike.numpy()})
    assert status == 0 and "no reconstruction" in said and "To have it count" in said


def test_a_file_without_a_perturbation_that_could_count_is_refused(tmp_path, capsys):
    status, _, error = attack(tmp_path, capsys)
    assert status == 2 and "mine.npz: expected an array for each test image it is about, found none" in error
    late = registry.task(CT).observe("test", 30)
    status, _, error = attack(tmp_path, capsys, **{"test-0030": 0.01 * late.data.numpy()})
    assert status == 2 and "expected images that robustness attacks, test-0000 to test-0009, found test-0030" in error


def test_an_interrupted_run_repeats_no_record_and_points_are_images():
    records, _ = measured(registry.method("fbp"))
    again, _ = measured(registry.method("fbp"), done=records[:3])
    assert [r.key for r in again] == [r.key for r in records[3:]]
    assert points(cell(registry.method("fbp"))) == [{"image": 0}, {"image": 1}, {"universal": 0.02}]
    assert (
        PROTOCOL.levels[-1] == submitted.LARGEST
        and robustness.protocol(dataclasses.replace(cell(registry.method("fbp")), rules=FULL)) is robustness.PROTOCOL
    )


def attacked(clean, error, misfit=(0.05, 0.055), by_gradient=True, images=6):
    """Records of images whose error goes from ``clean`` to ``error`` at 2 %."""
    records = []
    for index in range(images):
        at, name, shift = {"image": float(index)}, f"test-{index:04d}", 0.001 * index
        before = {"error": clean + shift, "psnr": 30.0, "misfit": misfit[0]}
        found = {"error": error + shift, "psnr": 25.0, "misfit": misfit[1], "random": clean + shift, "reached": 0.02}
        found |= {"by_gradient": error + shift} if by_gradient else {"by_query": error + shift}
        records += [record(name, before, {**at, "level": 0.0}), record(name, found, {**at, "level": 0.02})]
        scalar = {"attacked": error + shift, "amplification": (error - clean) / 0.02}
        records.append(record(name, scalar))
    return records


def verdicts(*networks):
    tv = result("tv-isotropic", attacked(0.10, 0.20, by_gradient=False), family="variational")
    found = [result(f"net-{i}", *given, family="unrolled") for i, given in enumerate(networks)]
    return [claim.verdict for claim in claims(rows([tv, *found]))]


def test_verdicts_follow_their_rules():
    calm, wild = (attacked(0.10, 0.19),), (attacked(0.10, 0.40),)
    torn = (attacked(0.10, 0.40, misfit=(0.05, 0.2)),)
    assert verdicts(calm, calm) == [HOLDS, FAILS, HOLDS]
    assert verdicts(wild, wild) == [FAILS, HOLDS, HOLDS]
    assert verdicts(torn, torn) == [FAILS, HOLDS, FAILS]
    assert verdicts() == [OPEN] * 3
    masked = [{**r, "values": {**r["values"], "random": 0.9}} for r in wild[0]]
    late = [{**r, "note": "out of time"} for r in wild[0]]
    broken = [*wild[0], record("test-0009", at={"image": 9.0}, error="ValueError: lost")]
    alone = [*calm[0], record("", at={"universal": 0.02}, error="ValueError: not one for all")]
    slow = [*calm[0], record("test-0000", {"universal": 0.1}, {"universal": 0.02, "image": 0.0}, note=LATE)]
    single = (wild[0][:3],)
    assert verdicts(calm, (alone,)) == verdicts(calm, (slow,)) == verdicts(calm, calm)
    assert verdicts(single) == [OPEN] * 3 and verdicts(calm, single, single) == verdicts(calm)
    for spoilt in (masked, late, broken):  # whose gradients are masked, who ran out of time or failed is not counted
        assert verdicts(calm, (spoilt,)) == verdicts(calm)


def test_an_attack_that_was_still_growing_is_said():
    growing = [{**r, "values": {**r["values"], "gain": 0.2}} for r in attacked(0.10, 0.40)]
    assert GROWING in row(result("fbp", growing)).flags and GROWING not in row(result("fbp", attacked(0.1, 0.4))).flags


def test_a_verdict_that_hangs_on_a_choice_is_not_firm():
    calm, wild = attacked(0.10, 0.19), attacked(0.10, 0.40)
    growing = [{**r, "values": {**r["values"], "gain": 0.2}} for r in calm]
    tv = result("tv-isotropic", attacked(0.10, 0.20), family="variational")
    frail = result("tv-anisotropic", [_worse(r) for r in attacked(0.10, 0.50)], family="variational")
    nets = [result("net-a", wild, family="unrolled"), result("net-b", wild, family="unrolled")]
    first = claims(rows([tv, frail, *nets]))[0]
    assert first.verdict == FAILS and not first.firm  # beside the other TV they are as robust
    assert [verdict for said, verdict in first.others if said.startswith("beside")] == [HOLDS]
    still = result("net-c", growing, family="unrolled")
    claim = claims(rows([tv, result("net-d", calm, family="unrolled"), still]))[0]
    assert claim.verdict == HOLDS and not claim.firm and [verdict for _, verdict in claim.others] == [HOLDS, MIXED]
    assert claims(rows([tv, result("net-d", calm, family="unrolled")]))[0].firm


def _worse(record):
    """The same with images that are worse without a perturbation."""
    return {**record, "values": {**record["values"], "psnr": 20.0}}


def test_a_level_at_which_nothing_worse_was_found_is_said():
    records = [record("test-0000", {"error": 0.1, "reached": 0.0}, {"image": 0.0, "level": 0.0})]
    for level, reached in ((0.02, 0.02), (0.03, 0.02), (0.05, 0.05)):
        found = {"error": 0.3, "random": 0.1, "by_gradient": 0.3, "reached": reached}
        records.append(record("test-0000", found, {"image": 0.0, "level": level}))
    said = [flag for flag in row(result("fbp", records, protocol=PROTOCOL)).flags if flag.startswith("nothing")]
    assert said == ["nothing worse at 3 % than below it on 1 of 1 images"]


def warmed():
    """Records of corrupted data with twice the error of the reference for one kind and half of it for another."""
    records = [record("test-0000", {"error": 0.1, "reference_error": 0.2}, {"corruption": 0.0, "severity": 0.0})]
    for number, own in ((0.0, 0.4), (3.0, 0.1)):
        for severity in (1.0, 3.0):
            at = {"corruption": number, "severity": severity}
            records.append(record("test-0000", {"error": own, "reference_error": 0.2}, at))
    return [*records, record("test-0000", {"corrupted": 0.25})]


def test_steps_by_size_are_said():
    counts = dict(zip(PROTOCOL.levels, (0.0, 10.0, 10.0, 90.0, 10.0, 10.0, 40.0)))
    at_levels = [
        record("test-0000", {"error": 0.1} | ({"steps": count} if count else {}), {"image": 0.0, "level": level})
        for level, count in counts.items()
    ]
    said = robustness_page.steps([row(result("fbp", at_levels, protocol=PROTOCOL))])
    assert said.startswith("Most attacks had 10 steps at 0.5 %, 1 %, 3 %, 5 %, 40 steps at 8 %, 90 steps at 2 %;")
    assert robustness_page.steps([]) == ""


def test_the_heat_map_compares_with_the_reference():
    (found,) = heat([result("fbp", warmed(), CORRUPTIONS, CORRUPTED)])
    assert found.ratios == {"more-noise": 2.0, "rings": 0.5} and found.of_reference.value == 1.25
    assert found.by_severity == {1: 1.25, 3: 1.25} and math.isnan(found.of_reference.low)  # one image
    worse = [{**r, "sample": "test-0001", "values": {k: 2 * v for k, v in r["values"].items()}} for r in warmed()]
    for r in worse:
        r["values"]["error"] = 2 * r["values"].get("error", 0)
    (both,) = heat([result("fbp", [*warmed(), *worse], CORRUPTIONS, CORRUPTED)])
    assert both.of_reference.value == pytest.approx((1.0 + 4.0) / (0.8 + 1.6))
    assert both.of_reference.low == pytest.approx(1.25) and both.of_reference.high == pytest.approx(2.5)


def test_the_page_shows_curves_flags_verdicts_and_the_heat_map(tmp_path):
    root = write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["fbp", "cgls", "tv-isotropic"], images=2)
    tv = result("tv-isotropic", attacked(0.10, 0.20, by_gradient=False))
    lost = [*attacked(0.1, 0.3, images=2), record("test-0002", at={"image": 2.0}, error="ValueError: lost & gone")]
    whole = result("cgls", attacked(0.1, 0.3), family="unrolled")
    broken = dataclasses.replace(result("kaczmarz", lost, family="unrolled"), status="partial", reason="1 of 7 failed")
    file = f"{tv.stem}-{STRIP[0]}.webp"
    images = {STRIP[0]: picture(tv.folder(root) / file, "test-0000, 30.00 dB", 32, 1)}
    of_fbp = result("fbp", warmed(), CORRUPTIONS, CORRUPTED)
    ended = dataclasses.replace(
        result("cgls", warmed(), CORRUPTIONS, CORRUPTED), status="timeout", reason="after 20 min"
    )
    late = [r for r in attacked(0.1, 0.3) if r["at"]]
    late = [{**r, "at": {**r["at"], "level": 4 * r["at"]["level"]}} for r in late]  # it ended above the reported level
    late = result("tikhonov", [*late, record("test-0000", at={"image": 0.0, "level": 0.02}, error=LATE)])
    late = dataclasses.replace(late, status="partial", reason=f"1 of 13 failed: {LATE}")
    for made in (dataclasses.replace(tv, images=images), whole, broken, of_fbp, ended, late):
        write(made, root)
    assert check(root) == []
    out = render(root, tmp_path / "site").parent
    text = (out / "robustness.html").read_text()
    assert "no gradient" in text and "lost &amp; gone" in text and "test-0000, 30.00 dB" in text
    verdicts = text.split('id="claims"')[1].split("</section>")[0]
    assert verdicts.count("badge good") == 2 and "more noise" in text and "2.00" in text
    spec = json.loads(text.split('<script type="application/json">')[1].split("</script>")[0])
    assert [[p["x"] for p in line["points"]] for line in spec["series"]] == [[0, 2]] * 3 + [[0, 8]]
    assert "after 20 min" in text and "corrupted data" in text
    assert 'href="robustness.html"' in (out / "index.html").read_text()
    found = board(load(root)[0], "ct-ellipses-30")
    assert front.attacked(found, "tv-isotropic") == (
        "from 30.00 to 25.00 dB with the data changed by 2 %; 6 images; no gradient"
    )
    assert " dB (TV: from 30.00 to 25.00 dB) with the data changed by 2 %" in front.attacked(found, "cgls")
    assert front.attacked(found, "fbp") == "not measured yet"
    assert front.attacked(found, "tikhonov") == "failed in part; the page says why"
    frame = found.frame.set_index("method")
    assert frame.loc["tv-isotropic", "attacked"] == pytest.approx(0.2025)
    assert np.isnan(frame.loc["kaczmarz", "attacked"])


def test_no_results_give_a_page_that_says_so(tmp_path):
    write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["fbp"], images=2)
    out = render(tmp_path / "results", tmp_path / "site").parent
    assert "Not measured yet" in (out / "robustness.html").read_text()
