"""Tasks of one's own, outside of the package: the examples go through every command that takes a task."""

import json

import numpy as np
import pytest
import torch

from recon_bench import registry, weights
from recon_bench.cli.main import main
from recon_bench.data.patients import Patients
from recon_bench.results import load
from recon_bench.results.check import check
from recon_bench.storage import REPOSITORY
from recon_bench.task import DataError
from tests.helpers import assert_adjoint
from tests.helpers_scans import write_dicom, write_nifti

EXAMPLES = REPOSITORY / "examples" / "tasks"
SPLITS = ("train", "validation", "test")


@pytest.fixture
def scans(tmp_path):
    """A folder of three patients: two NIfTI files of 4 and 3 slices, then a DICOM series of 2."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "scans"
    (folder / "c").mkdir(parents=True)
    for name, count in (("a.nii", 4), ("b.nii", 3)):
        write_nifti(folder / name, rng.integers(-1000, 1000, (40, 40, count)).astype("f4"), "RAS", (1, 1, 2))
    for z in range(2):
        pixels = rng.integers(0, 2000, (30, 40))
        write_dicom(folder / "c" / f"{z}.dcm", pixels, 2.0 * z, "1.2.3")
    return folder


def test_patients_are_split_and_not_slices(scans):
    patients = Patients(scans)
    assert patients.missing() is None and patients.sizes == {"train": 4, "validation": 3, "test": 2}
    assert [patients.slice(split, 0)[1] for split in SPLITS] == ["a.nii", "b.nii", "c"]
    image, _ = patients.slice("test", 1)
    assert image.shape == (30, 40) and image.dtype == np.float64 and image.min() < -900
    with pytest.raises(IndexError, match="validation has 3 slices"):
        patients.slice("validation", 3)
    before = patients.fingerprint()
    (scans / "c" / "1.dcm").touch()
    assert Patients(scans).fingerprint() == before
    write_nifti(scans / "d.nii", np.zeros((4, 4, 2), "f4"), "RAS", (1, 1, 2))
    more = Patients(scans, validation=1, test=2)
    assert more.sizes == {"train": 4, "validation": 3, "test": 4} and more.fingerprint() != before


def test_too_few_patients_are_missing_and_no_error(scans):
    assert "found 3" in Patients(scans, test=2).missing()
    nowhere = Patients(scans / "nowhere")
    assert "nowhere" in nowhere.missing() and nowhere.sizes == dict.fromkeys(SPLITS, 0)
    (scans / "a.nii").write_bytes(b"no scan")
    with pytest.raises(DataError, match=r"a\.nii"):
        Patients(scans).sizes  # noqa: B018


def quick(task, methods, root):
    words = ["--rules", "quick", "--measurements", "accuracy", "--results", str(root)]
    return main(["run", "--tasks", str(task), "--methods", *methods, *words])


def test_a_task_of_a_folder_of_scans(scans, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCANS", str(scans))
    file = tmp_path / "scans.py"
    file.write_text((EXAMPLES / "scans.py").read_text())
    task = registry.task(str(file))
    for split in SPLITS:
        sample = task.samples(split)[0]
        assert sample.truth.shape == (128, 128) and sample.data.shape == (60, 183) and sample.truth.min() >= 0
    assert task.samples("test")[0].volume == "c"
    A = task.problem().operator
    truth = sample.truth
    assert torch.linalg.vector_norm(A(truth) - sample.data) < 0.1 * torch.linalg.vector_norm(sample.data)
    assert main(["show", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"] == {"train": 4, "validation": 3, "test": 2}
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    network = REPOSITORY / "examples" / "methods" / "plain_network.py"
    few = ("batch=1", "validate=1", "validation_images=1")
    words = [word for change in few for word in ("--recipe", change)]
    assert main(["train", str(network), "--task", str(file), "--steps", "1", "--threads", "1", *words]) == 0
    assert weights.registry().keys() == {"my-scans/plain-network"}


def test_a_task_without_rays_goes_through_run_board_and_site(tmp_path, capsys):
    file, root = EXAMPLES / "deblurring.py", tmp_path / "results"
    task = registry.task(str(file))
    assert_adjoint(task.problem().operator)
    sample = task.observe("test", 0)
    assert torch.linalg.vector_norm(task.problem().operator(sample.truth) - sample.data) < 0.05 * sample.data.norm()
    assert quick(file, ["landweber", "fbp"], root) == 0
    results, problems = load(root)
    assert not problems and not check(root)
    assert {r.method["name"]: r.status for r in results} == {"landweber": "ok", "fbp": "not-applicable"}
    capsys.readouterr()
    assert main(["board", str(file), "--rules", "quick", "--json", "--results", str(root)]) == 0
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["landweber"]["rank"] == 1 and rows["landweber"]["psnr"] > 15 and rows["fbp"]["rank"] is None
    assert main(["site", "--results", str(root), "--out", str(tmp_path / "site")]) == 0


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path):
    assert len([line for line in path.read_text().splitlines() if line.strip()]) < 40


def test_a_task_without_its_scans_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SCANS", str(tmp_path / "nowhere"))
    file = tmp_path / "scans.py"
    file.write_text((EXAMPLES / "scans.py").read_text() + "\n# without scans\n")
    assert main(["train", "unet", "--task", str(file)]) == 2
    assert "a folder of DICOM slices" in capsys.readouterr().err
