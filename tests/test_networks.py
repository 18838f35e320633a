"""What every learned network must do: sizes, depth, gradients, batches, image sizes, units; and what each one is."""

import dataclasses
import math

import pytest
import torch

from baselines import fbp, learned_gradient, modl, unet, unrolled
from recon_bench import learned, registry, weights
from recon_bench.core import NotApplicable
from recon_bench.operators import MaskedFourier, ParallelBeam, RayTransform, evenly
from recon_bench.scoring import metrics
from recon_bench.scoring.counting import Counting
from recon_bench.training import loop as train
from tests.helpers_training import TOY, method_of

PROBLEM = TOY.problem()
FOURIER = dataclasses.replace(PROBLEM, operator=MaskedFourier((20, 27), (3, 9, 12, 13, 14, 20)))
SMALL = {
    "unet": {"width": 4, "scales": 2},
    "resnet": {"blocks": 2, "width": 8},
    "learned-gradient": {"depth": 2, "width": 8},
    "learned-primal": {"depth": 2, "width": 8},
    "learned-primal-dual": {"depth": 2, "width": 8},
    "learned-primal-dual-corrected": {"depth": 2, "width": 8},
    "learned-pdhg": {"depth": 2, "width": 8},
    "unrolled-gradient": {"depth": 2, "width": 8},
    "unrolled-gradient-tied": {"depth": 2, "width": 8},
    "reversible": {"depth": 2, "width": 8},
    "unrolled-ista": {"depth": 2, "filters": 20},
    "unrolled-ista-tied": {"depth": 2, "filters": 20},
    "modl": {"depth": 9, "inner": 2, "width": 16},
}
DUAL = ("learned-primal-dual", "learned-primal-dual-corrected", "learned-pdhg")  # they convolve data: views
POST = ("unet", "resnet")  # post-processing networks are fed what is prepared
BESIDE = {"learned-primal": 0, "learned-primal-dual": 0, "learned-pdhg": 0, "learned-primal-dual-corrected": 1}
QUICK = 0.5  # the others start from a quick reconstruction, which takes an adjoint
every = pytest.mark.parametrize("name", SMALL)
both = pytest.mark.parametrize("problem", [PROBLEM, FOURIER], ids=["ct", "mri"])
PAIRS = [(name, problem) for problem in (PROBLEM, FOURIER) for name in SMALL if problem is PROBLEM or name not in DUAL]
IDS = [f"{name}-{'mri' if problem.complex else 'ct'}" for name, problem in PAIRS]
everywhere = pytest.mark.parametrize(("name", "problem"), PAIRS, ids=IDS)


def made(name, problem=PROBLEM, **settings):
    """An untrained network, small unless told; none of its layers is left at zero."""
    method = registry.method(name)
    network = learned.untrained(method.network, problem, dataclasses.replace(method.settings, **SMALL[name] | settings))
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.dim() == 4 and not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.02, generator)
    return network.eval()


def examples(problem, count=2):
    """Truth and data: discs for CT, noise for MRI."""
    if problem.complex:
        parts = torch.randn(count, *problem.operator.domain_shape, 2, generator=torch.Generator().manual_seed(0))
        truth = torch.view_as_complex(parts)
        return truth, problem.operator(truth)
    samples = [problem.train[i] for i in range(count)]
    truth, y = (torch.stack([getattr(s, name) for s in samples]) / problem.data_range for name in ("truth", "data"))
    return truth, y


def size(name, problem=PROBLEM, **settings):
    return sum(learned.parameters(made(name, problem, **settings)).values())


def loss_of(network, truth, y, A):
    return (network(y, A) - truth).abs().square().mean()


@pytest.mark.parametrize(
    ("name", "real", "complex"),
    [
        ("resnet", 99_210, 104_980),
        ("learned-gradient", 13_318, 14_471),
        ("learned-primal", 125_170, 156_900),
        ("learned-primal-dual", 253_220, None),
        ("learned-pdhg", 20_133, None),
        ("unrolled-gradient", 99_220, 104_990),
        ("unrolled-gradient-tied", 9_922, 10_499),
        ("reversible", 99_220, 104_990),
        ("unrolled-ista", 17_920, 35_200),
        ("unrolled-ista-tied", 1_792, 3_520),
        ("modl", 112_002, 113_155),
    ],
)
def test_the_default_networks_have_the_sizes_that_their_files_or_authors_state(name, real, complex):
    method = registry.method(name)
    for problem, expected in ((PROBLEM, real), (FOURIER, complex)):
        if expected:
            layers = learned.parameters(learned.untrained(method.network, problem, method.settings))
            assert sum(layers.values()) == expected


@pytest.mark.parametrize("name", ["unrolled-gradient", "unrolled-ista"])
@both
def test_tied_steps_share_the_parameters_of_one(name, problem):
    one = size(name, problem, depth=1)
    assert [size(name, problem, depth=depth) for depth in (2, 7)] == [2 * one, 7 * one]
    assert [size(f"{name}-tied", problem, depth=depth) for depth in (1, 7)] == [one, one]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("modl", [{"depth": 3}, {"depth": 30}]),
        *((name, [{"depth": 2}, {"depth": 6}]) for name in ("learned-gradient", "learned-pdhg")),
    ],
)
def test_networks_with_equal_steps_have_one_size_at_any_depth(name, settings):
    assert size(name, **settings[0]) == size(name, **settings[1])


@pytest.mark.parametrize(
    ("name", "problem"),
    [p for p in PAIRS if p[0] not in (*POST, "modl")],
    ids=[i for i, p in zip(IDS, PAIRS) if p[0] not in (*POST, "modl")],
)
@pytest.mark.parametrize("depth", [1, 3, 10])
def test_depth_counts_applications_of_the_pair(name, problem, depth):
    counting = Counting(problem.operator)
    made(name, problem, depth=depth)(examples(problem)[1], counting)
    assert counting.pairs == depth + BESIDE.get(name, QUICK)


@pytest.mark.parametrize(("depth", "inner", "blocks"), [(2, 1, 1), (20, 4, 4), (23, 4, 4), (18, 2, 6)])
def test_the_depth_of_modl_counts_the_misfit_and_conjugate_gradients_of_every_block(depth, inner, blocks):
    counting = Counting(PROBLEM.operator)
    made("modl", depth=depth, inner=inner)(examples(PROBLEM)[1], counting)
    assert counting.pairs == blocks * (1 + inner) <= depth


def test_single_coil_mri_needs_one_step_of_conjugate_gradients():
    counting = Counting(FOURIER.operator)
    made("modl", FOURIER, depth=20, inner=4)(examples(FOURIER)[1], counting)
    assert counting.pairs == 4 * 2


@pytest.mark.parametrize("name", POST)
def test_post_processing_never_sees_the_data_again(name):
    counting = Counting(PROBLEM.operator)
    made(name)(examples(PROBLEM)[1], counting)
    assert counting.pairs == 0.5


@everywhere
def test_one_step_of_training_lowers_the_loss_and_gradients_reach_every_parameter(name, problem):
    network, (truth, y) = made(name, problem), examples(problem)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    before = loss_of(network, truth, y, problem.operator)
    before.backward()
    optimiser.step()
    optimiser.zero_grad()
    after = loss_of(network, truth, y, problem.operator)
    assert after < before
    after.backward()  # only now: a last layer of zeros stops the gradients of the first step
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("name", [name for name in SMALL if registry.method(name).recipe])
def test_training_improves_and_its_weights_are_found(name, tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    method = method_of(name, **SMALL[name])
    train.train(method, TOY, steps=200, folder=tmp_path)
    truth, y = (torch.stack([getattr(s, part) for s in TOY.samples("test")]) for part in ("truth", "data"))
    with torch.no_grad():
        start = made(name)(y / TOY.data_range, PROBLEM.operator) * TOY.data_range
        trained = method.build(PROBLEM, method.settings)(y, PROBLEM.operator)
    before, after = (float(metrics.psnr(truth, x, TOY.data_range).mean()) for x in (start, trained))
    assert after > before + 1


@everywhere
def test_a_batch_is_the_stack_of_its_images(name, problem):
    network, (truth, y) = made(name, problem), examples(problem, 3)
    together = network(y, problem.operator)
    assert together.shape == truth.shape and together.dtype == truth.dtype
    singles = torch.cat([network(one[None], problem.operator) for one in y])
    torch.testing.assert_close(together, singles, rtol=1e-4, atol=1e-5)


@every
@pytest.mark.parametrize("side", [17, 40])
def test_weights_serve_images_of_any_size(name, side):
    problem = dataclasses.replace(PROBLEM, operator=RayTransform(ParallelBeam(side, evenly(5), 2 * side)))
    network = made(name, problem)
    network.load_state_dict(made(name).state_dict())
    x = network(torch.rand(1, *problem.operator.range_shape), problem.operator)
    assert x.shape == (1, side, side) and torch.isfinite(x).all()


@everywhere
def test_bfloat16_autocast_stays_close_and_gives_full_precision(name, problem):
    network, (truth, y) = made(name, problem), examples(problem)
    exact = network(y, problem.operator)
    with torch.autocast("cpu", torch.bfloat16):
        x = network(y, problem.operator)
    assert x.dtype == truth.dtype
    assert torch.linalg.vector_norm(x - exact) < 0.03 * torch.linalg.vector_norm(exact)


@every
def test_the_unit_of_lengths_does_not_matter(name):
    """In millimetres rays and norm are ten times those in centimetres, and the image the same."""
    _, y = examples(PROBLEM)
    geometry = PROBLEM.operator.geometry
    mm = RayTransform(dataclasses.replace(geometry, spacing=10 * geometry.spacing, pixel=10 * geometry.pixel))
    there = made(name, dataclasses.replace(PROBLEM, operator=mm))
    torch.testing.assert_close(there(10 * y, mm), made(name)(y, PROBLEM.operator), rtol=1e-3, atol=1e-4)


@both
def test_resnet_is_the_unrolled_gradient_without_its_data_fit(problem):
    _, y = examples(problem)
    resnet, gradient = made("resnet", problem), made("unrolled-gradient", problem)
    for block, step in zip(resnet.network.blocks, gradient.steps):
        block.load_state_dict(step.proximal.state_dict())
        torch.nn.init.zeros_(step.step)
    torch.testing.assert_close(resnet(y, problem.operator), gradient(y, problem.operator))


@both
def test_an_untrained_ista_step_is_one_of_ista_with_a_tight_frame(problem):
    """Without thresholds a step is one of gradient descent, away from the borders; large ones leave nothing."""
    torch.manual_seed(0)
    step = unrolled.IstaStep(1 + problem.complex, filters=20, kernel=3)
    x, gradient = torch.randn(2, 2, 1 + problem.complex, 16, 16)
    torch.nn.init.constant_(step.log_threshold, math.log(1e-9))
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(step(x, gradient)[inside], (x - gradient)[inside], rtol=1e-4, atol=1e-5)
    torch.nn.init.constant_(step.log_threshold, math.log(1e3))
    assert not step(x, gradient).any()


def test_without_a_network_steps_are_gradient_descent():
    _, y = examples(PROBLEM)
    A, norm = PROBLEM.operator, learned.norm_of(PROBLEM)
    network = made("unrolled-gradient-tied", depth=3)
    torch.nn.init.zeros_(network.steps[0].proximal[-1].weight)
    x = unet.quick(PROBLEM, unet.Settings())(y, A)
    for _ in range(3):
        x = x - A.adjoint(A(x) - y) / norm**2
    torch.testing.assert_close(network(y, A), x, rtol=1e-4, atol=1e-5)


@both
@pytest.mark.parametrize("weight", [0.05, 2.0])
def test_data_consistency_solves_its_normal_equations(problem, weight):
    A = learned.Scaled(problem.operator, learned.norm_of(problem))
    truth, y = (learned.to_channels(part) for part in examples(problem))
    y, z = y / A.norm, torch.rand_like(truth)
    x = modl.consistent(A, y, z, torch.tensor(weight), 60)
    left, right = A.adjoint(A(x)) + weight * x, A.adjoint(y) + weight * z
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)
    if problem.complex:  # one step is enough
        torch.testing.assert_close(modl.consistent(A, y, z, torch.tensor(weight), 1), x, rtol=1e-4, atol=1e-5)


def test_gradients_of_data_consistency_are_those_of_the_exact_solution():
    operator = RayTransform(ParallelBeam(6, evenly(4), 9), dtype=torch.float64)
    A = learned.Scaled(operator, 5.0)
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(2, 1, *operator.range_shape, dtype=torch.float64, generator=generator)
    z = torch.rand(2, 1, 6, 6, dtype=torch.float64, generator=generator)
    weight = torch.tensor(0.3, dtype=torch.float64)
    inputs = [part.requires_grad_() for part in (y, z, weight)]
    cotangent = torch.rand(2, 1, 6, 6, dtype=torch.float64, generator=generator)
    units = torch.eye(36, dtype=torch.float64).reshape(36, 1, 6, 6)
    normal = A.adjoint(A(units)).reshape(36, 36) + weight * torch.eye(36, dtype=torch.float64)
    right = A.adjoint(y) + weight * z
    exact = torch.linalg.solve(normal, right.reshape(2, 36).T).T.reshape(2, 1, 6, 6)
    found = modl.consistent(A, y, z, weight, 100)
    for a, b in zip(*(torch.autograd.grad(x, inputs, cotangent) for x in (found, exact))):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def without_last_layer(network):
    torch.nn.init.zeros_(network.step[-1].weight)
    return network


def test_learned_gradient_starts_from_filtered_backprojection():
    _, y = examples(PROBLEM)
    expected = fbp.build(PROBLEM, fbp.Settings("ram-lak", 1.0))(y, PROBLEM.operator)
    torch.testing.assert_close(without_last_layer(made("learned-gradient"))(y, PROBLEM.operator), expected)


def test_learned_gradient_starts_from_zero_filling():
    _, y = examples(FOURIER)
    network = without_last_layer(made("learned-gradient", FOURIER))
    torch.testing.assert_close(network(y, FOURIER.operator), FOURIER.operator.adjoint(y))


def test_the_regulariser_is_the_dirichlet_energy():
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    energy = 0.5 * (x.diff(dim=-1).square().sum() + x.diff(dim=-2).square().sum())
    (expected,) = torch.autograd.grad(energy, x)
    torch.testing.assert_close(learned_gradient.dirichlet_gradient(x.detach()), expected)


@both
def test_the_gain_of_learned_primal_comes_from_the_singular_values_of_the_operator(problem):
    A = problem.operator
    pixels = torch.eye(math.prod(A.domain_shape), dtype=A.dtype).reshape(-1, *A.domain_shape)
    values = torch.linalg.svdvals(A(pixels).flatten(1))
    exact = values.max() / values.square().sum().div(len(pixels)).sqrt()
    assert float(made("learned-primal", problem).gain) == pytest.approx(float(exact), rel=0.1)


def test_the_gain_of_learned_primal_stays_with_its_weights():
    trained, other = made("learned-primal"), made("learned-primal")
    trained.gain.fill_(3.0)
    weights.install(other, trained.state_dict(), "toy/learned-primal")
    _, y = examples(PROBLEM)
    torch.testing.assert_close(other(y, PROBLEM.operator), trained(y, PROBLEM.operator))
    assert (made("learned-primal")(y, PROBLEM.operator) - trained(y, PROBLEM.operator)).abs().max() > 1e-3


def test_what_learned_primal_dual_leaves_in_the_data_is_added_back_at_low_frequencies():
    _, y = examples(PROBLEM)
    A, network, corrected = PROBLEM.operator, made("learned-primal-dual"), made("learned-primal-dual-corrected")
    corrected.load_state_dict(network.state_dict())
    x = network(y, A)
    expected = x + fbp.build(PROBLEM, fbp.Settings("hann", 0.35))(y - A(x), A)
    torch.testing.assert_close(corrected(y, A), expected)


@pytest.mark.parametrize("name", DUAL)
def test_networks_that_convolve_data_need_views(name):
    with pytest.raises(NotApplicable, match="views"):
        made(name, FOURIER)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        *((name, {"depth": 0}, "depth of at least 1") for name in SMALL if name not in (*POST, "modl")),
        ("unrolled-ista", {"kernel": 4}, "odd"),
        ("resnet", {"blocks": 0}, "at least 1 block"),
        ("modl", {"depth": 2}, r"depth >= 1 \+ inner"),
    ],
)
def test_impossible_settings_are_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        made(name, **settings)
