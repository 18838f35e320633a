"""What all results depend on, against committed figures: tasks, operators, metrics and what measurements make of them.

A change of content wants a new version of the task or of the measurement. After such a change, with the version raised,
``python -m tests.test_contents`` writes the figures anew.
"""

import json
from pathlib import Path

import pytest
import torch

from recon_bench import registry
from recon_bench.measurement import Cell
from recon_bench.rules import QUICK
from recon_bench.scoring import metrics
from recon_bench.task import Ssim

FILE = Path(__file__).with_name("task_contents.json")
SHARED = Path(__file__).with_name("shared_contents.json")
CASES = (("train", 1), ("validation", 0), ("test", 0), ("test", 2))
LARGE = ("ct-head-143",)  # its simulator takes 10 s to build, and differs from that of ct-head-50 in the views alone
SCORED = {"ct-ellipses-30": "fbp", "mri-brain-4x": "zero-filled"}  # by methods without settings that are tuned here
KINDS = ("accuracy", "pictures", "transfer", "small-features")


def figures(name: str) -> dict[str, list[float]]:
    """Mean and standard deviation of truth and data of a few samples."""
    found = {}
    for split, index in CASES:
        sample = registry.task(name).samples(split)[index]
        parts = [part.abs().double() for part in (sample.truth, sample.data)]
        found[sample.id] = [float(f"{value:.8g}") for part in parts for value in (part.mean(), part.std())]
    return found


def named() -> list[str]:
    return [name for name, task in registry.tasks().items() if task.missing() is None and name not in LARGE]


def noise(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def operator_figures(name: str) -> dict[str, float]:
    """Norms and an inner product that tell A and its adjoint, on noise."""
    A = registry.task(name).problem().operator
    x, y = noise(A.domain_shape, A.dtype), noise(A.range_shape, A.dtype, seed=1)
    Ax, Ay = A(x), A.adjoint(y)
    return {"Ax": float(Ax.norm()), "Ay": float(Ay.norm()), "Axy": float((Ax * y.conj()).real.double().sum())}


def metric_figures() -> dict[str, float]:
    """Every metric of a noisy image."""
    truth = noise((1, 40, 40)).abs()
    x = truth + 0.1 * noise((1, 40, 40), seed=1)
    found = {
        "psnr": metrics.psnr(truth, x, 2.0),
        "ssim": metrics.ssim(truth, x, 2.0, Ssim()),
        "nmse": metrics.nmse(truth, x),
        "nrmse": metrics.nrmse(truth, x),
        "regressed_snr": metrics.regressed_snr(truth, x),
    }
    return {name: float(value) for name, value in found.items()}


def measured(task: str, kind: str) -> dict[str, dict[str, float]]:
    """What a kind of measurement reports of a simple method under the quick rules."""
    method = registry.method(SCORED[task])
    cell = Cell(registry.task(task), method, method.settings, QUICK, torch.device("cpu"))
    records = registry.measurement(kind).measure(cell, {}, lambda *_: None)
    return {record.sample: dict(record.values) for record in records if record.values}


def shared() -> dict[str, object]:
    """All figures of what tasks and methods share."""
    return {
        "operators": {name: operator_figures(name) for name in named()},
        "metrics": metric_figures(),
        **{kind: {task: measured(task, kind) for task in SCORED} for kind in KINDS},
    }


@pytest.mark.parametrize("name", named())
def test_images_and_data_are_those_that_were_committed(name):
    expected = json.loads(FILE.read_text())[name]
    assert expected["version"] == registry.task(name).version
    for sample, values in figures(name).items():
        assert values == pytest.approx(expected["samples"][sample], rel=1e-4), sample


@pytest.mark.parametrize("name", named())
def test_an_operator_is_the_one_that_results_were_measured_with(name):
    assert operator_figures(name) == pytest.approx(json.loads(SHARED.read_text())["operators"][name], rel=1e-4)


def test_metrics_are_those_that_results_were_measured_with():
    assert metric_figures() == pytest.approx(json.loads(SHARED.read_text())["metrics"], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", SCORED)
def test_a_measurement_reports_what_it_did(task, kind, monkeypatch):
    for data in ("LODOPAB", "FASTMRI"):  # whoever has them measures more
        monkeypatch.delenv(f"RECON_BENCH_{data}", raising=False)
    expected = json.loads(SHARED.read_text())[kind][task]
    found = measured(task, kind)
    assert found.keys() == expected.keys()
    for sample, values in found.items():
        assert values == pytest.approx(expected[sample], rel=1e-4), sample


if __name__ == "__main__":
    contents = {name: {"version": registry.task(name).version, "samples": figures(name)} for name in named()}
    FILE.write_text(json.dumps(contents, indent=1) + "\n")
    SHARED.write_text(json.dumps(shared(), indent=1) + "\n")
