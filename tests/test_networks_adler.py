"""Learned gradient, learned primal and learned PDHG: sizes, depth, gradients, batches, image sizes, complex images."""

import dataclasses

import pytest
import torch

from baselines import fbp, learned, learned_gradient, learned_pdhg, learned_primal, train
from recon_bench import metrics, registry
from recon_bench.core import NotApplicable
from recon_bench.operators import MaskedFourier, ParallelBeam, RayTransform, evenly
from recon_bench.reconstruct import Counting
from tests.helpers_training import TOY, reconstruct, small

MODULES = (learned_gradient, learned_primal, learned_pdhg)
PROBLEM = TOY.problem()
FOURIER = dataclasses.replace(PROBLEM, operator=MaskedFourier((20, 27), (3, 9, 12, 13, 14, 20)))
every = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.METHODS[0].name)
for_mri = pytest.mark.parametrize("module", MODULES[:2], ids=lambda module: module.METHODS[0].name)


def made(module, problem=PROBLEM, **settings):
    """An untrained network, small unless told."""
    chosen = {"depth": 2, "width": 8} | settings
    return learned.untrained(module.network, problem, dataclasses.replace(module.METHODS[0].settings, **chosen))


def examples(count=2):
    samples = [PROBLEM.train[i] for i in range(count)]
    truth, y = (torch.stack([getattr(s, name) for s in samples]) / PROBLEM.data_range for name in ("truth", "data"))
    return truth, y


def k_space(count=2):
    parts = torch.randn(count, *FOURIER.operator.domain_shape, 2, generator=torch.Generator().manual_seed(0))
    truth = torch.view_as_complex(parts)
    return truth, FOURIER.operator(truth)


def loss_of(network, truth, y, A):
    return (network(y, A) - truth).abs().square().mean()


@pytest.mark.parametrize(
    ("name", "count", "layers"),
    [("learned-gradient", 13_318, 3), ("learned-primal", 125_170, 50), ("learned-pdhg", 20_133, 11)],
)
def test_the_default_networks_have_the_sizes_of_the_authors(name, count, layers):
    method = registry.method(name)
    found = learned.parameters(learned.untrained(method.network, PROBLEM, method.settings))
    assert (sum(found.values()), len(found)) == (count, layers)


@every
@pytest.mark.parametrize("depth", [1, 3, 10])
def test_depth_counts_applications_of_the_pair(module, depth):
    counting = Counting(PROBLEM.operator)
    made(module, depth=depth)(torch.zeros(1, *counting.range_shape), counting)
    start = 0.5 if module is learned_gradient else 0  # the backprojection it starts from
    assert counting.pairs == depth + start


@every
def test_what_is_tied_keeps_its_size_at_any_depth(module):
    sizes = [sum(learned.parameters(made(module, depth=depth)).values()) for depth in (2, 6)]
    assert sizes[1] == sizes[0] * (3 if module is learned_primal else 1)


@every
def test_gradients_reach_every_parameter(module):
    network = made(module)
    loss_of(network, *examples(), PROBLEM.operator).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@for_mri
def test_gradients_reach_every_parameter_of_complex_networks(module):
    network = made(module, FOURIER)
    loss_of(network, *k_space(), FOURIER.operator).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@every
def test_a_step_lowers_the_loss(module):
    network, (truth, y) = made(module), examples()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    before = loss_of(network, truth, y, PROBLEM.operator)
    before.backward()
    optimiser.step()
    assert loss_of(network, truth, y, PROBLEM.operator) < before


@every
def test_training_improves_and_its_weights_are_found(module, tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    method = small(module, depth=2, width=8)
    train.train(method, TOY, steps=60, folder=tmp_path)
    sample = TOY.samples("test")[0]
    with torch.no_grad():
        start = made(module)(sample.data[None] / TOY.data_range, PROBLEM.operator) * TOY.data_range
    before, after = (float(metrics.psnr(sample.truth[None], x, TOY.data_range)) for x in (start, reconstruct(method)))
    assert after > before + 1


@every
def test_a_batch_is_the_stack_of_its_images(module):
    network, (_, y) = made(module), examples(3)
    singles = torch.cat([network(one[None], PROBLEM.operator) for one in y])
    torch.testing.assert_close(network(y, PROBLEM.operator), singles, rtol=1e-4, atol=1e-5)


@for_mri
def test_a_complex_batch_is_the_stack_of_its_images(module):
    network, (truth, y) = made(module, FOURIER), k_space(3)
    together = network(y, FOURIER.operator)
    assert together.shape == truth.shape and together.dtype == torch.complex64
    singles = torch.cat([network(one[None], FOURIER.operator) for one in y])
    torch.testing.assert_close(together, singles, rtol=1e-4, atol=1e-5)


@every
@pytest.mark.parametrize("size", [17, 40])
def test_weights_serve_images_of_any_size(module, size):
    problem = dataclasses.replace(PROBLEM, operator=RayTransform(ParallelBeam(size, evenly(5), 2 * size)))
    network = made(module, problem)
    network.load_state_dict(made(module).state_dict())
    x = network(torch.rand(1, *problem.operator.range_shape), problem.operator)
    assert x.shape == (1, size, size) and torch.isfinite(x).all()


@every
def test_bfloat16_autocast_stays_close_and_gives_float32(module):
    network, (_, y) = made(module), examples()
    exact = network(y, PROBLEM.operator)
    with torch.autocast("cpu", torch.bfloat16):
        x = network(y, PROBLEM.operator)
    assert x.dtype == torch.float32
    assert torch.linalg.vector_norm(x - exact) < 0.03 * torch.linalg.vector_norm(exact)


@every
def test_the_unit_of_lengths_does_not_matter(module):
    """In millimetres rays and norm are ten times those in centimetres, and the image the same."""
    _, y = examples()
    geometry = PROBLEM.operator.geometry
    mm = RayTransform(dataclasses.replace(geometry, spacing=10 * geometry.spacing, pixel=10 * geometry.pixel))
    there = made(module, dataclasses.replace(PROBLEM, operator=mm))
    torch.testing.assert_close(there(10 * y, mm), made(module)(y, PROBLEM.operator), rtol=1e-3, atol=1e-4)


def without_last_layer(network):
    torch.nn.init.zeros_(network.step[-1].weight)
    return network


def test_learned_gradient_starts_from_filtered_backprojection():
    _, y = examples()
    expected = fbp.build(PROBLEM, fbp.Settings("ram-lak", 1.0))(y, PROBLEM.operator)
    torch.testing.assert_close(without_last_layer(made(learned_gradient))(y, PROBLEM.operator), expected)


def test_learned_gradient_starts_from_zero_filling():
    _, y = k_space()
    network = without_last_layer(made(learned_gradient, FOURIER))
    torch.testing.assert_close(network(y, FOURIER.operator), FOURIER.operator.adjoint(y))


def test_the_regulariser_is_the_dirichlet_energy():
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    energy = 0.5 * (x.diff(dim=-1).square().sum() + x.diff(dim=-2).square().sum())
    (expected,) = torch.autograd.grad(energy, x)
    torch.testing.assert_close(learned_gradient.dirichlet_gradient(x.detach()), expected)


def test_pdhg_needs_views():
    with pytest.raises(NotApplicable, match="views"):
        made(learned_pdhg, FOURIER)


@every
def test_impossible_settings_are_refused(module):
    with pytest.raises(ValueError, match="depth of at least 1"):
        made(module, depth=0)
