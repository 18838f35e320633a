"""The attack: as strong as what is known exactly, as noise and as a plain ascent; where it has no gradient; files."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from recon_bench import registry, storage
from recon_bench.measurement import Cell
from recon_bench.measurements.iterations import with_weights
from recon_bench.measurements.robustness import PROTOCOL
from recon_bench.operators import Identity, RayTransform
from recon_bench.operators.sampled import SampledFourier
from recon_bench.rules import QUICK
from recon_bench.scoring import attack, probes, submitted, targets
from recon_bench.scoring.attack import Budget, Objective
from recon_bench.scoring.clock import Deadline
from recon_bench.scoring.host import Host
from recon_bench.scoring.submitted import PerturbationError
from tests.helpers_training import GEOMETRY, TOY

LONG = Deadline(1000)
LEVELS = (0.02, 0.05, 0.08)
OPERATORS = {
    "ray": RayTransform(GEOMETRY, dtype=torch.float64),
    "points": SampledFourier(np.arange(32 * 32).reshape(32, 32) % 3 == 0, dtype=torch.complex128),
}


def asking(f, y, truth):
    """What the attack asks of a differentiable ``f`` of batches."""

    def ask(e):
        data = (y + e).requires_grad_()
        x, objective = f(data), Objective(truth[None])
        (direction,) = torch.autograd.grad(x, data, objective.weight(x.detach()))
        return objective.errors(x.detach()), direction

    return ask


def linear_problem(seed, rows=6, range_dims=60):
    generator = torch.Generator().manual_seed(seed)
    B, y = torch.randn(8 * rows, range_dims, generator=generator), torch.randn(range_dims, generator=generator)
    truth = (B @ y).reshape(rows, 8) + torch.randn(rows, 8, generator=generator)
    return B, y, truth


def dense_worst(B, y, truth, radius):
    """The largest |B (y + e) - truth| over the ball, by all singular values and bisection on the multiplier."""
    _, s, V = np.linalg.svd(B.double().numpy())
    r = (B @ y).double().numpy() - truth.flatten().double().numpy()
    s = np.concatenate([s, np.zeros(len(V) - len(s))])
    c = V @ (B.double().numpy().T @ r)
    low, high = s.max() ** 2, s.max() ** 2 + np.linalg.norm(c) / radius
    for _ in range(200):
        mu = (low + high) / 2
        low, high = (mu, high) if np.linalg.norm(c / (mu - s**2)) > radius else (low, mu)
    return np.linalg.norm(r + B.double().numpy() @ (V.T @ (c / (high - s**2))))


@pytest.mark.parametrize("seed", range(3))
def test_of_a_linear_method_the_attack_finds_the_exact_worst_case(seed):
    B, y, truth = linear_problem(seed)
    ask = asking(lambda data: (data @ B.T).reshape(-1, 6, 8), y, truth)
    for found in attack.sweep(ask, y, LEVELS, Budget(), seed, LONG):
        radius = found.level * float(y.norm())
        worst = dense_worst(B, y, truth, radius)
        assert 0.99 * worst < float(found.errors.max()) * float(truth.norm()) < worst * (1 + 1e-5)
        assert bool((found.perturbations.flatten(1).norm(dim=1) <= radius * (1 + 1e-5)).all())
        r = (B @ y).reshape(6, 8) - truth
        control = attack.exact(lambda e: (B @ e).reshape(6, 8), lambda x: B.T @ x.flatten(), r, radius)
        assert control == pytest.approx(worst, rel=1e-4)


def test_the_exact_worst_case_takes_few_dimensions_and_is_no_less_where_singular_values_lie_close():
    B, y, truth = linear_problem(0, rows=50, range_dims=400)
    B = B / torch.linalg.matrix_norm(B, 2) + torch.eye(400)
    r, radius, asked = (B @ y).reshape(50, 8) - truth, 0.02 * float(y.norm()), []

    def forward(e):
        asked.append(e)
        return (B @ e).reshape(50, 8)

    found = attack.exact(forward, lambda x: B.T @ x.flatten(), r, radius)
    assert found == pytest.approx(dense_worst(B, y, truth, radius), rel=2e-5) and len(asked) < 100


@pytest.mark.parametrize(("r", "worst"), [((0, 0, 0, 0), 0.3), ((0, 0.05, 0, 0), 0.0945**0.5), ((0.2, 0, 0, 0), 0.5)])
def test_the_exact_worst_case_is_found_where_the_error_has_no_part_in_what_grows_most(r, worst):
    """|r + B e| over |e| <= 0.1 for B = diag(3, 2, 1, 1/2), by hand."""
    B = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5]))
    found = attack.exact(lambda e: B @ e, lambda x: B @ x, torch.tensor(r, dtype=torch.float32), 0.1)
    assert found == pytest.approx(worst, rel=1e-3)


def plain_ascent(ask, y, radius, steps):
    """Projected gradient ascent from zero, a fifth of the radius a step."""
    e, best = torch.zeros(1, *y.shape), -math.inf
    for _ in range(steps):
        error, g = ask(e)
        best = max(best, float(error))
        e = e + 0.2 * radius * g / g.norm()
        e = e * min(1.0, radius / float(e.norm()))
    return best


@pytest.mark.parametrize("seed", range(3))
def test_the_attack_is_as_strong_as_noise_and_as_a_plain_ascent_of_as_many_steps(seed):
    B, y, truth = linear_problem(seed)
    net = lambda data: (2 * torch.tanh(data @ B.T / 4) + torch.sin(data @ B.T)).reshape(-1, 6, 8)  # noqa: E731
    ask, budget = asking(net, y, truth), Budget(restarts=1, first=30)
    (found,) = attack.sweep(ask, y, [0.05], budget, 0, LONG)
    radius = 0.05 * float(y.norm())
    assert float(found.errors.max()) > float(ask(attack.noise(y, 50, radius, 1))[0].max())
    assert float(found.errors.max()) > 0.99 * plain_ascent(ask, y, radius, 30)


@pytest.mark.parametrize("name", ["unet", "learned-primal-dual"])
def test_a_trained_network_is_attacked_as_strongly_as_by_a_plain_ascent_of_as_many_steps(name):
    task, method, steps = registry.task("ct-ellipses-30"), registry.method(name), 15
    cell = Cell(task, method, method.settings, QUICK, torch.device("cpu"), {})
    cell = dataclasses.replace(cell, settings=with_weights(cell))
    (gradient,) = targets.build(cell, PROTOCOL.seeds, PROTOCOL.unrolled, 1).attacks["gradient"]
    sample = task.observe("test", 0)
    ask = probes.asking(gradient, sample.data, Objective(sample.truth[None]))
    (found,) = attack.sweep(ask, sample.data, [0.02], Budget(restarts=1, first=steps), 0, LONG)
    plain = plain_ascent(ask, sample.data, 0.02 * float(sample.data.norm()), steps)
    assert found.steps == steps and float(found.errors.max()) > 0.99 * plain


def test_complex_data_are_attacked_by_magnitude():
    generator = torch.Generator().manual_seed(0)
    B = torch.randn(36, 20, dtype=torch.complex64, generator=generator)
    y = torch.randn(20, dtype=torch.complex64, generator=generator)
    truth = (B @ y).reshape(6, 6) * torch.polar(torch.ones(6, 6), torch.linspace(0, 6, 36).reshape(6, 6))
    ask = asking(lambda data: (data @ B.T).reshape(-1, 6, 6), y, truth)
    (found,) = attack.sweep(ask, y, [0.05], Budget(restarts=2, first=15), 0, LONG)
    noisy = ask(attack.noise(y, 50, 0.05 * float(y.abs().norm()), 1))[0]
    assert float(ask(torch.zeros(1, 20, dtype=y.dtype))[0]) < 1e-5  # the phase of the image is no error
    assert float(found.errors.max()) > float(noisy.max())


def test_steps_without_a_direction_and_without_a_reconstruction_are_counted():
    y = torch.ones(4)
    nothing = lambda e: (torch.full((len(e),), torch.nan).double(), torch.zeros_like(e))  # noqa: E731
    (found,) = attack.sweep(nothing, y, [0.1], Budget(restarts=2, first=5), 0, LONG)
    assert found.blind == found.failed == 1 and found.errors.tolist() == [-math.inf] * 2


def test_a_deadline_keeps_what_was_found():
    B, y, truth = linear_problem(0)
    ask = asking(lambda data: (data @ B.T).reshape(-1, 6, 8), y, truth)
    found = list(attack.sweep(ask, y, LEVELS, Budget(), 0, Deadline(0)))
    assert [(f.level, f.whole, f.steps) for f in found] == [(0.08, False, 1)]


def test_the_curvature_of_total_variation_is_that_of_its_gradient():
    generator = torch.Generator().manual_seed(0)
    x, v = torch.randn(2, 7, 5, generator=generator).double(), torch.randn(2, 7, 5, generator=generator).double()
    smooth = probes.SMOOTH * x.abs().amax((-2, -1), keepdim=True)

    def gradient(image):
        image = image.clone().requires_grad_()
        down, right = torch.zeros_like(image), torch.zeros_like(image)
        down[:, :-1], right[..., :-1] = image.diff(dim=-2), image.diff(dim=-1)
        return torch.autograd.grad(3 * (down**2 + right**2 + smooth**2).sqrt().sum(), image)[0]

    expected = (gradient(x + 1e-6 * v) - gradient(x - 1e-6 * v)) / 2e-6
    found = probes.total_variation_curvature(x, torch.tensor(3.0).double())(v)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def denoising(name):
    """A registered method on noisy images as they are, with its sample."""
    sample = TOY.samples("test")[0]
    noisy = sample.truth + attack.noise(sample.truth, 1, 0.1 * float(sample.truth.norm()), 0)[0]
    method = Host(registry.method(name), dataclasses.replace(TOY.problem(), operator=Identity(tuple(noisy.shape))))
    method.set_up(method.method.settings)
    return method, noisy, Objective(sample.truth[None])


def test_a_secant_is_along_the_gradient_of_a_minimiser():
    method, y, objective = denoising("tikhonov-gradient")
    pull = probes.linear_pull(method, [Host(registry.method("fbp"), method.problem)])  # which does not apply
    _, exact = probes.gradient(method)(y[None], objective)
    x, direction = probes.secant(method, pull)(y[None], objective)
    assert float((attack.unit(direction) * attack.unit(exact)).sum()) > 0.999
    assert torch.equal(x, probes.images(method, y[None]))


@pytest.mark.filterwarnings("ignore::recon_bench.core.NotConverged")
@pytest.mark.parametrize(
    ("name", "operator"),
    [(name, "ray") for name in ("tv-isotropic", "tv-isotropic-nonneg", "tv-anisotropic", "ista", "fista")]
    + [(name, "points") for name in ("tv-isotropic", "tv-anisotropic", "ista")],
)
def test_the_gradient_through_all_iterations_says_how_the_error_changes(name, operator):
    A, method, truth = OPERATORS[operator], registry.method(name), TOY.samples("test")[0].truth
    settings = dataclasses.replace(method.settings, weight=0.02, iterations=300, tolerance=0.0)
    solve = method.build(dataclasses.replace(TOY.problem(), operator=A), settings)
    truth = torch.stack([truth, 0 * truth]).to(A.dtype)
    size = float(torch.linalg.vector_norm(A(truth)))
    y = (A(truth) + attack.noise(A(truth)[0], 2, 0.1 * size, 0)).requires_grad_()
    x = solve(y, A)
    (g,) = torch.autograd.grad(x, y, x.detach() - truth)
    e = 1e-5 * size * attack.unit(A(x.detach() - truth))
    with torch.no_grad():
        ahead, back = ((solve(y + sign * e, A) - truth).abs().square().sum() / 2 for sign in (1, -1))
    found = float((g.conj() * e).real.sum())
    assert found == pytest.approx(float(ahead - back) / 2, rel=0.02) and found > 0


@pytest.mark.parametrize("name", ["tv-isotropic-nonneg", "tv-anisotropic"])
def test_queries_and_surrogates_attack_total_variation_harder_than_noise_and_its_gradient_no_less(name):
    method, y, objective = denoising(name)
    pull = probes.linear_pull(method, [])
    noisy = objective.errors(probes.images(method, y + attack.noise(y, 4, 0.05 * float(y.norm()), 1)))
    clean = float(objective.errors(probes.images(method, y[None])))

    def growth(probe):
        ask = probes.asking([probe], y, objective)
        (found,) = attack.sweep(ask, y, [0.05], Budget(restarts=1, first=8), 0, LONG)
        return float(found.errors.max()) - clean

    others = [growth(probes.secant(method, pull)), growth(probes.curvature(method, method.method.settings.weight))]
    assert min(others) > 1.5 * (float(noisy.max()) - clean)
    assert growth(probes.gradient(method)) > 0.99 * max(others)


def file(folder, **arrays):
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def perturbation(size, index=0):
    y = TOY.samples("test")[index].data
    return attack.noise(y, 1, size * float(y.norm()), seed=index)[0].numpy()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"test-0000": perturbation(0.05)[:3]}, r"expected \(12, 47\) of float32, found \(3, 47\)"),
        ({"test-0000": perturbation(0.05).astype(np.float64)}, "found .* of float64"),
        ({"test-0000": perturbation(0.09)}, r"expected a norm of at most 0.08 \|y\|, found 0.09"),
        ({"test-0000": perturbation(0.05) * np.nan}, "expected finite values"),
        ({"test-0009": perturbation(0.05)}, "expected names of test images such as test-0000, found 'test-0009'"),
    ],
)
def test_a_file_that_is_not_a_perturbation_is_refused(tmp_path, arrays, said):
    with pytest.raises(PerturbationError, match=said):
        submitted.read(file(tmp_path, **arrays), TOY)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    np.savez(tmp_path / "objects.npz", **{"test-0000": np.array([None])})
    with (tmp_path / "single.npz").open("wb") as single:
        np.save(single, np.zeros(3))
    (tmp_path / "mine.npz").write_text("no arrays")
    np.savez(tmp_path / "none.npz")
    for name in ("mine", "objects", "single", "folder", "missing", "none"):
        with pytest.raises(PerturbationError) as caught:
            submitted.read(tmp_path / f"{name}.npz", TOY)
        said = str(caught.value)
        assert f"{name}.npz: expected " in said and "Write it by numpy.savez" in said
        assert not any(word in said for word in ("pickle", "context manager", "Errno", "zip"))


def test_perturbations_are_found_by_task_method_and_image(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "ATTACKS", tmp_path)
    (tmp_path / "toy" / "fbp").mkdir(parents=True)
    path = file(tmp_path / "toy" / "fbp", **{"test-0001": perturbation(0.08, 1)})
    (found,), said = submitted.perturbations(TOY, "fbp", "test-0001")
    assert said == [f"counts {storage.sha256(path.read_bytes())}"]
    assert np.array_equal(found.numpy(), perturbation(0.08, 1))
    for method, name in (("fbp", "test-0000"), ("unet", "test-0001")):
        assert submitted.perturbations(TOY, method, name) == ([], [])
