"""The measured tooth: its file in the Data Exchange form, where its axis is found, and what is wrong with bad files."""

import dataclasses
import math

import h5py
import numpy as np
import pytest
import torch

from recon_bench import registry
from recon_bench.core import NotApplicable
from recon_bench.data import exchange
from recon_bench.measurement import Cell
from recon_bench.measurements import shift
from recon_bench.rules import QUICK
from recon_bench.task import DataError, Truth
from recon_bench.tasks import tooth

ADVICE = "Take it from its source."
CENTRE, RADIUS, OFF = 296.0, 18.0, 6.0  # bins: where the axis is, and a disc beside it


def lines():
    """Line integrals (views, rows, bins) of a disc."""
    angles = np.pi * np.arange(tooth.VIEWS) / tooth.VIEWS
    s = np.arange(tooth.BINS) - CENTRE - OFF * np.cos(angles)[:, None]
    return 0.01 * 2 * np.sqrt(np.maximum(RADIUS**2 - s**2, 0))[:, None] * np.ones((1, tooth.ROWS, 1))


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A scan of that disc, in the form and shape of the tooth's; a smaller image is enough for it."""
    monkeypatch.setattr(tooth, "SIZE", 56)
    monkeypatch.setenv(tooth.VARIABLE, str(tmp_path))
    tooth._scan.cache_clear(), tooth._reference.cache_clear()
    path = tmp_path / tooth.FILE
    with h5py.File(path, "w") as written:
        written["exchange/data"] = (200 + 20000 * np.exp(-lines())).astype(np.float32)
        written["exchange/data_dark"] = np.full((3, tooth.ROWS, tooth.BINS), 200, np.float32)
        written["exchange/data_white"] = np.full((3, tooth.ROWS, tooth.BINS), 20200, np.float32)
        written["exchange/theta"] = 180 * np.arange(tooth.VIEWS) / tooth.VIEWS
        written["exchange/theta"].attrs["units"] = "degrees"
    return path


def change(path, name, values):
    with h5py.File(path, "a") as file:
        del file[f"exchange/{name}"]
        if values is not None:
            file[f"exchange/{name}"] = values


def test_counts_become_line_integrals(file):
    scan = exchange.read(file, ADVICE)
    assert np.allclose(scan.lines, lines(), atol=1e-5)
    assert scan.angles[60] == pytest.approx(math.pi * 60 / 181)


def test_every_sixth_view_is_reconstructed_and_the_reference_has_all(file):
    sample = registry.task("tooth").observe("test", 0)
    assert sample.data.shape == (31, 640)
    assert np.allclose(sample.data, lines()[::6, 1], atol=1e-5)
    middle = sample.truth[24:32, 30:38]  # inside the disc, which is six bins to the right of the axis
    assert float(middle.mean()) == pytest.approx(1, abs=0.02) and abs(float(sample.truth[:4, :4].mean())) < 0.02


def test_the_axis_is_found_and_an_image_is_better_for_it(file):
    task, method = registry.task("tooth"), registry.method("cgls")
    cell = Cell(task, method, method.settings, QUICK, torch.device("cpu"))
    seen = {}
    records = list(shift.measure(cell, {}, lambda name, pixels, caption: seen.update({name: caption})))
    assert set(seen) == {"rotation-centre-ignorant", "rotation-centre-estimated"}
    (found,) = (record.values for record in records if "parameter" in record.values)
    assert found["identified"] and abs((tooth.BINS - 1) / 2 - found["parameter"] - CENTRE) < 0.5
    psnr = {shift.SCENARIOS[int(r.at["scenario"])]: r.values["psnr"] for r in records if "psnr" in r.values}
    assert psnr["estimated"] > psnr["ignorant"] + 3 and psnr["told"] == psnr["home"]


def test_a_scan_from_other_angles_is_refused(file):
    change(file, "theta", 180 * np.arange(tooth.VIEWS) / (tooth.VIEWS - 1))
    with pytest.raises(DataError, match="expected view angles from 0 on in steps of 1/181 of a half turn"):
        registry.task("tooth").observe("test", 0)


def test_no_other_image_has_such_data():
    with pytest.raises(NotApplicable, match="no other image"):
        tooth.measure(Truth(np.zeros((4, 4))), np.random.default_rng(0))


def test_without_its_file_the_task_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv(tooth.VARIABLE, raising=False)
    assert "RECON_BENCH_TOOTH is not set" in registry.task("tooth").missing()
    monkeypatch.setenv(tooth.VARIABLE, str(tmp_path))
    assert "nothing is there" in registry.task("tooth").missing() and "Download tooth.h5" in tooth.missing()


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("data_white", None, "expected a dataset 'exchange/data_white'"),
        ("data_dark", np.zeros((3, 2, 7)), "expected data (views, rows, bins)"),
        ("theta", np.zeros(5), "expected data (views, rows, bins)"),
        ("data", np.zeros((181, 640)), "expected exchange/data (times, rows, bins)"),
        ("data", np.full((181, 2, 640), 100.0), "expected more counts than in the dark"),
        ("data", np.full((181, 2, 640), np.nan), "NaN"),
    ],
)
def test_a_file_that_is_not_as_the_form_says_is_named_with_what_is_wrong(file, name, values, expected):
    change(file, name, values)
    with pytest.raises(DataError) as error:
        exchange.read(file, ADVICE)
    assert expected in str(error.value) and str(file) in str(error.value)


def test_angles_in_another_unit_and_scans_of_another_shape_are_refused(file):
    with h5py.File(file, "a") as opened:
        opened["exchange/theta"].attrs["units"] = "radians"
    with pytest.raises(DataError, match="expected view angles in degrees"):
        exchange.read(file, ADVICE)
    change(file, "theta", np.zeros(4))
    for name in ("data", "data_white", "data_dark"):
        change(file, name, np.full((4, 1, 8), 1.0 if name == "data_dark" else 9.0))
    with pytest.raises(DataError, match="views, rows and bins, got"):
        registry.task("tooth").observe("test", 0)


def test_a_shift_belongs_to_no_hash():
    task = registry.task("ct-ellipses-30")
    assert dataclasses.replace(task, shifts=(), rates={}).hash == task.hash
