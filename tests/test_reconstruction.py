"""Measured data without a truth: how they are described, how settings are chosen, and what is said when it is wrong."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image

from recon_bench import registry
from recon_bench.cli.main import main
from recon_bench.core import Log, Noise
from recon_bench.operators import FanBeam, FanTransform, MaskedFourier, ParallelBeam, RayTransform, evenly
from recon_bench.reconstruction import choice, lengths, nearest, scan
from recon_bench.reconstruction.reconstruct import reconstruct
from tests.helpers import noise, relative
from tests.helpers_results import make_cell

SIZE, VIEWS, BINS, PIXEL = 32, 40, 47, 0.5
GEOMETRY = ParallelBeam(SIZE, evenly(VIEWS), BINS, spacing=PIXEL, pixel=PIXEL)
PARALLEL = f"""
kind = "parallel-beam"
pixels = {SIZE}
pixel = {PIXEL}
spacing = {PIXEL}
angles = {{ first = 0, step = {180 / VIEWS}, views = {VIEWS} }}
"""
FAN_FILE = PARALLEL.replace("parallel", "fan") + "source = %g\ndetector = %g\n"
NOISE = Noise("gaussian", 0.05)
NOISY = PARALLEL + 'noise = { kind = "gaussian", level = 0.05 }\n'
CPU = torch.device("cpu")


def truth():
    """Two discs, in units of 1 / length, off the centre."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return 0.2 * ((x - 3) ** 2 + (y + 4) ** 2 < 60) + 0.1 * ((x + 8) ** 2 + (y - 6) ** 2 < 20)


def psnr(x):
    return 10 * math.log10(0.2**2 / ((np.abs(np.asarray(x)) - truth()) ** 2).mean())


@pytest.fixture
def files(tmp_path):
    """Writes data and geometry; gives the words of a command for them, without any results to know of."""

    def write(y, geometry):
        np.save(tmp_path / "y.npy", y)
        (tmp_path / "g.toml").write_text(geometry)
        where = ["--data", str(tmp_path / "y.npy"), "--geometry", str(tmp_path / "g.toml")]
        return [*where, "--results", str(tmp_path / "none"), "--out", str(tmp_path / "x.npy")]

    return write


def sinogram(geometry=GEOMETRY, level=0.05):
    """The data of the two discs, of a finer image, with noise."""
    fine = dataclasses.replace(geometry, size=3 * SIZE, pixel=PIXEL / 3)
    transform = RayTransform if isinstance(geometry, ParallelBeam) else FanTransform
    clean = transform(fine)(torch.from_numpy(np.kron(truth(), np.ones((3, 3)))).float()).numpy()
    return clean + level * np.abs(clean).mean() * np.random.default_rng(1).standard_normal(clean.shape).astype("f4")


def test_a_measured_sinogram_becomes_an_image_and_a_picture(files, tmp_path, capsys):
    words = ["reconstruct", "tikhonov", *files(sinogram(), NOISY), "--picture", str(tmp_path / "x.png")]
    assert main(words) == 0
    said = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert "discrepancy principle" in said["chosen"] and "weight" in said["settings"]
    assert 0.9 < float(said["|A x - y| / noise"]) <= 1.0
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (SIZE, SIZE) and psnr(x) > 20
    picture = np.asarray(Image.open(tmp_path / "x.png"))
    assert picture.shape[:2] == (SIZE, SIZE) and picture.max() == 255


@pytest.mark.parametrize(("method", "more"), [("tikhonov-gradient", {}), ("tv-isotropic", {"tolerance": 1e-3})])
def test_rules_without_a_truth_come_near_the_best_setting(method, more):
    measured = scan.Scan(RayTransform(GEOMETRY), torch.from_numpy(sinogram())[None], NOISE, None, False)
    item = registry.method(method)
    found = {rule: reconstruct(item, measured, (), rule, more) for rule in ("discrepancy", "l-curve")}
    name, space = choice.axis(item)
    tried = [space.low * (space.high / space.low) ** (i / 8) for i in range(2, 7)]
    best = max(psnr(reconstruct(item, measured, (), "default", {**more, name: each}).images[0]) for each in tried)
    assert all(psnr(each.images[0]) > best - 2 for each in found.values()), found


def test_the_discrepancy_principle_takes_the_smoothest_that_fits():
    fit = lambda value: choice.Fit(misfit=value, roughness=1 / value)  # noqa: E731
    found = choice.discrepancy(fit, Log(0.01, 100), noise=3.0)
    assert 2.9 < found.value <= 3.0
    steps = choice.discrepancy(lambda n: choice.Fit(100 / n, n), Log(1, 1000, integer=True), noise=3.0)
    assert steps.value == 34  # the fewest iterations, as 100 / 34 < 3 < 100 / 33
    assert "is its level right?" in choice.discrepancy(fit, Log(5, 100), noise=3.0).why
    assert choice.discrepancy(fit, Log(0.1, 2), noise=3.0).value == 2


def test_the_corner_of_an_l_is_found():
    fit = lambda value: choice.Fit(misfit=0.1 + value**2, roughness=1 + 0.01 / value)  # noqa: E731
    assert 0.01 < choice.l_curve(fit, Log(1e-5, 100)).value < 0.5


def test_data_of_several_slices_and_set_by_hand(files, tmp_path):
    stack = np.stack([sinogram(), np.zeros((VIEWS, BINS), "f4")])
    assert main(["reconstruct", "cgls", *files(stack, PARALLEL), "--set", "iterations=6", "--choose", "default"]) == 0
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (2, SIZE, SIZE) and psnr(x[0]) > 20 and not x[1].any()


def test_the_axis_of_rotation_may_be_anywhere(files, tmp_path):
    moved = dataclasses.replace(GEOMETRY, shift=3 * PIXEL)  # the middle is 3 bins beside the axis
    for said in (f"shift = {3 * PIXEL}\n", f"axis = {(BINS - 1) / 2 - 3}\n"):
        words = files(sinogram(moved), PARALLEL + said)
        assert main(["reconstruct", "cgls", *words, "--choose", "default"]) == 0
        assert psnr(np.load(tmp_path / "x.npy")) > 20


def test_a_fan_beam_with_angles_in_a_file(files, tmp_path):
    g = FanBeam(SIZE, evenly(60, stop=2 * math.pi), 61, 40.0, 20.0, spacing=0.7, pixel=PIXEL)
    np.savetxt(tmp_path / "angles.txt", np.degrees(g.angles))
    told = f'kind = "fan-beam"\npixels = {SIZE}\npixel = {PIXEL}\nspacing = 0.7\nsource = 40\ndetector = 20\n'
    words = files(sinogram(g), told + 'angles = "angles.txt"\n')
    assert main(["reconstruct", "cgls", *words, "--choose", "default"]) == 0
    assert psnr(np.load(tmp_path / "x.npy")) > 20


def test_k_space_by_columns_by_a_mask_and_of_coils(files, tmp_path):
    whole = MaskedFourier((SIZE, SIZE), tuple(range(SIZE)))
    coils = torch.linspace(0.2, 1, SIZE)
    y = whole(torch.from_numpy(truth()).to(torch.complex64)).numpy()
    both = whole(torch.stack([coils, (1 - coils**2).sqrt()])[:, None] * torch.from_numpy(truth()).to(torch.complex64))
    kept = [*range(0, SIZE, 3), *range(12, 20)]
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:, kept] = True
    np.save(tmp_path / "mask.npy", mask)
    found = []
    for told in (f"columns = {sorted(set(kept))}", 'mask = "mask.npy"'):
        assert main(["reconstruct", "zero-filled", *files(y, f'kind = "fourier"\n{told}\n')]) == 0
        found.append(np.load(tmp_path / "x.npy"))
    np.testing.assert_allclose(*found, atol=1e-6)
    words = files(both.numpy(), 'kind = "fourier"\nmask = "mask.npy"\ncoils = true\n')
    assert main(["reconstruct", "cgls", *words, "--choose", "default"]) == 0
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (SIZE, SIZE) and psnr(x) > 15


def test_what_was_tuned_on_the_nearest_task_is_taken(tmp_path):
    def result(task, iterations):
        header = {"name": "cgls", "settings": {"iterations": iterations}, "tuned": ["iterations"]}
        made = make_cell(task, 1, "cgls", "accuracy")
        return dataclasses.replace(made, method={**made.method, **header})

    known = [result("ct-ellipses-30", 3), result("mri-brain-4x", 5), result("ct-head-143", 7)]
    A = RayTransform(GEOMETRY)
    measured = scan.Scan(A, torch.from_numpy(sinogram())[None].float(), None, None, False)
    found = reconstruct(registry.method("cgls"), measured, known, "auto")
    assert (
        found.settings["iterations"] == 7 and "ct-head-143, the nearest task" in found.why
    )  # 256 / 143 is near 32 / 40
    assert nearest.nearest(nearest.sampling(MaskedFourier((32, 32), (15, 16))), ["ct-head-143"]) is None


def test_a_network_takes_the_weights_of_the_nearest_task_and_says_what_differs():
    task, method = registry.task("ct-ellipses-30"), registry.method("unet")
    sample, problem = task.observe("test", 0), task.problem()
    measured = scan.Scan(problem.operator, sample.data[None], None, task.data_range, False)
    found = reconstruct(method, measured, ())
    assert torch.allclose(found.images, method.build(problem, method.settings)(sample.data[None], problem.operator))
    assert len(found.notes) == 1 and "weights of ct-ellipses-30" in found.notes[0]
    half = dataclasses.replace(problem.operator.geometry, angles=problem.operator.geometry.angles[::2])
    fewer = dataclasses.replace(measured, operator=RayTransform(half), data=sample.data[None, ::2])
    assert any("trained for 128 x 128 pixels from 30 views" in note for note in reconstruct(method, fewer, ()).notes)
    unknown = dataclasses.replace(measured, data_range=None)  # then the largest values are estimated
    there, here = (reconstruct(method, each, ()).images for each in (measured, unknown))
    assert torch.linalg.vector_norm(there - here) < 0.2 * torch.linalg.vector_norm(there)


@pytest.mark.parametrize(
    ("data", "geometry", "said"),
    [
        (np.zeros((VIEWS, BINS), int), PARALLEL, "-log((counts - dark) / (flat - dark))"),
        (np.zeros((BINS, VIEWS), "f4"), PARALLEL, "numpy.swapaxes(y, -1, -2)"),
        (np.full((VIEWS, BINS), np.nan, "f4"), PARALLEL, "NaN"),
        (np.zeros(5, "f4"), PARALLEL, "of two dimensions"),
        (np.zeros((VIEWS, BINS), "f4"), PARALLEL.replace("spacing", "spacings"), "did you mean 'spacing'"),
        (np.zeros((VIEWS, BINS), "f4"), PARALLEL.replace("spacing = 0.5", ""), "expected spacing, the distance"),
        (
            np.zeros((VIEWS, BINS), "f4"),
            PARALLEL.replace("spacing = 0.5", 'spacing = "0.5 mm"'),
            "expected spacing as a number, all lengths in one unit, got '0.5 mm'",
        ),
        (np.zeros((VIEWS, BINS), "f4"), PARALLEL.replace("parallel", "cone"), "'parallel-beam' | 'fan-beam'"),
        (np.zeros((VIEWS, BINS), "f4"), PARALLEL + "axis = 3\nshift = 1.0\n", "leave one out"),
        (np.zeros((VIEWS, BINS), "f4"), PARALLEL + "noise = 0.1\n", "expected noise = {"),
        (np.zeros((VIEWS, BINS), "f4"), PARALLEL.replace("pixel = 0.5", "pixel = 0.0"), "pixel must be > 0"),
        (np.zeros((VIEWS, BINS), "f4"), "kind = ", "expected a TOML file"),
        (
            np.zeros((VIEWS, BINS), "f4"),
            PARALLEL.replace("pixel = 0.5", "pixel = 0.0005"),
            "the 47 bins see 23.5 across, 1469 times wider: the image of 32 pixels is 0.016 wide. Check that pixel",
        ),
        (np.zeros((VIEWS, BINS), "f4"), PARALLEL.replace("spacing = 0.5", "spacing = 0.0005"), "680.9 times narrower"),
        (np.zeros((VIEWS, BINS), "f4"), PARALLEL + "shift = 300.0\n", "no ray meets the image"),
        (np.zeros((VIEWS, BINS), "f4"), FAN_FILE % (0.04, 20), "expected a source outside of the image"),
        (np.zeros((VIEWS, BINS), "f4"), FAN_FILE % (40, 20000), "times narrower"),
        (np.zeros((3, BINS), "f4"), PARALLEL.split("angles")[0] + "angles = [0.0, 1.6, 3.1]", "seems to be radians"),
        (np.zeros((8, 8), "f4"), 'kind = "fourier"\ncolumns = [3, 4]', "expected k-space as complex numbers"),
        (np.zeros((8, 8), "c8"), 'kind = "fourier"', "either columns"),
        (np.zeros((8, 3), "c8"), 'kind = "fourier"\ncolumns = [2, 3, 4]', "with all of its columns"),
    ],
)
def test_what_is_wrong_with_a_measurement_is_one_clear_line(files, capsys, data, geometry, said):
    assert main(["reconstruct", "cgls", *files(data, geometry)]) == 2
    errors = capsys.readouterr().err
    assert said in errors and len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["y.npy", "g.toml", "angles.npy", "angles.txt"])
@pytest.mark.parametrize("content", [None, b"\xff\xfe of another kind"])
def test_a_file_that_is_missing_or_of_another_kind_is_named_with_what_was_expected(
    files, tmp_path, capsys, name, content
):
    told = PARALLEL.split("angles")[0] + f'angles = "{name if name.startswith("angles") else "angles.txt"}"\n'
    words = files(np.zeros((3, BINS), "f4"), told)
    np.savetxt(tmp_path / "angles.txt", [0.0, 60.0, 120.0])
    (tmp_path / name).unlink(missing_ok=True)
    if content:
        (tmp_path / name).write_bytes(content)
    assert main(["reconstruct", "cgls", *words]) == 2
    errors = capsys.readouterr().err
    assert f"{name}: expected " in errors and "docs/own-data.md has an example" in errors
    assert not any(leak in errors for leak in ("Errno", "pickle", "codec"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zero-filled"], "does not apply to these data: needs Fourier data"),
        (["fbp", "--choose", "nearest"], "--choose nearest needs tuned settings"),
        (["cgls", "--choose", "discrepancy"], "--choose discrepancy needs a noise that is known"),
        (["fbp", "--choose", "l-curve"], "--choose l-curve needs a method with one setting"),
        (["cgls", "--set", "iteration=3"], "did you mean 'iterations'"),
        (["cgls", "--set", "iterations=2", "--picture", "nowhere/x.png"], "nowhere"),
        (["learned-pdhg", "--set", "weights=nothing"], "no weights nothing"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(files, capsys, words, said):
    assert main(["reconstruct", words[0], *files(sinogram(), PARALLEL), *words[1:]]) == 2
    errors = capsys.readouterr().err
    assert said in errors and len(errors.strip().splitlines()) == 1


def test_a_fan_that_hardly_opens_is_told_beside_the_image(files, tmp_path, capsys):
    for far, told in ((1e6, True), (40.0, False)):
        assert main(["reconstruct", "cgls", *files(sinogram(), FAN_FILE % (far, far / 2)), "--choose", "default"]) == 0
        assert ("the fan opens by 0.0009 degrees only" in capsys.readouterr().out) == told
    assert np.load(tmp_path / "x.npy").shape == (SIZE, SIZE)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 25.4])
def test_any_unit_will_do_where_it_is_the_only_one(unit):
    told = {name: unit * getattr(FAN, name) for name in ("source", "detector", "spacing", "shift", "pixel")}
    scans = dataclasses.replace(GEOMETRY, spacing=PIXEL * unit, pixel=PIXEL * unit), dataclasses.replace(FAN, **told)
    assert [note for geometry in scans for note in lengths.notes(geometry)] == []


FAN = FanBeam(12, evenly(5, stop=2 * math.pi, offset=0.1), 17, source=30.0, detector=10.0, spacing=1.3, shift=0.4)


def test_a_source_inside_of_the_image_is_refused():
    with pytest.raises(ValueError, match="expected a source outside of the image"):
        dataclasses.replace(FAN, source=5.0)


def test_a_fan_beam_from_far_away_is_a_parallel_beam():
    far = dataclasses.replace(FAN, source=1e8, detector=0.0)
    near = ParallelBeam(FAN.size, FAN.angles, FAN.bins, FAN.spacing, FAN.shift)
    fan, parallel = (transform(g, dtype=torch.float64) for transform, g in ((FanTransform, far), (RayTransform, near)))
    x = noise(fan.domain_shape, fan)
    assert relative(fan(x), parallel(x)) < 1e-6


def test_a_fan_beam_is_that_of_astra():
    toolbox = pytest.importorskip("astra")
    g = dataclasses.replace(FAN, size=48, bins=71, source=100.0, detector=40.0)
    sin, cos = np.sin(g.angles), np.cos(g.angles)
    middle = [-sin * g.detector + g.shift * cos, cos * g.detector + g.shift * sin]
    vectors = np.stack([sin * g.source, -cos * g.source, *middle, g.spacing * cos, g.spacing * sin], 1)
    beam, volume = toolbox.create_proj_geom("fanflat_vec", g.bins, vectors), toolbox.create_vol_geom(48, 48)
    theirs = toolbox.OpTomo(toolbox.create_projector("line_fanflat", beam, volume))
    grid = torch.arange(48) - 23.5
    x = torch.exp(-((grid[:, None] - 7) ** 2 + (grid + 4) ** 2) / 30)
    expected = torch.from_numpy(theirs.FP(x.numpy()))
    assert torch.linalg.vector_norm(FanTransform(g)(x) - expected) < 0.02 * torch.linalg.vector_norm(expected)


def test_noise_and_units_are_those_of_the_file(files, tmp_path):
    files(sinogram(), NOISY + "data_range = 0.25\n")
    measured = scan.read(tmp_path / "y.npy", tmp_path / "g.toml", CPU)
    assert measured.noise == NOISE and measured.data_range == 0.25
    assert measured.operator.geometry.angles == pytest.approx(GEOMETRY.angles)
