"""Equilibrium networks: what they are an equilibrium of, what differentiates them, and what if there is none."""

import contextlib
import dataclasses
import warnings

import pytest
import torch

from recon_bench import deq, learned, registry, regulariser
from recon_bench.core import NotConverged
from recon_bench.implicit import SOLVED, watched
from recon_bench.operators import MaskedFourier
from recon_bench.scoring import metrics
from recon_bench.scoring.counting import Counting
from recon_bench.training import loop as train
from tests.helpers_training import TOY, method_of

PROBLEM, EXACT = TOY.problem(), TOY.problem(dtype=torch.float64)
FOURIER = dataclasses.replace(PROBLEM, operator=MaskedFourier((20, 27), (3, 9, 12, 13, 14, 20)))
FORMS = ("de-grad", "de-prox", "de-admm", "equilibrium", "convex-equilibrium")
NAMES = (*FORMS, "plug-and-play")
SMALL = {"width": 8, "layers": 3}
SCALES = {"width": 8, "scales": 2}
SIZES = {"convex-equilibrium": {"filters": 8, "kernel": 5}, "equilibrium": SCALES, "equilibrium-unrolled": SCALES}
every = pytest.mark.parametrize("name", NAMES)
forms = pytest.mark.parametrize("name", FORMS)
both = pytest.mark.parametrize("problem", [PROBLEM, FOURIER], ids=["ct", "mri"])


def made(name, problem=PROBLEM, **settings):
    """A small network with weights that matter."""
    found = registry.method(name)
    network = learned.untrained(
        found.network, problem, dataclasses.replace(found.settings, **SIZES.get(name, SMALL) | settings)
    )
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.dim() == 4 and not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.02, generator)
    return network.to(torch.float64 if problem.operator.dtype == torch.float64 else torch.float32)


class Shrinking(torch.nn.Module):
    """R(x) - x / 2 in the channel of the image, which makes every map contract quickly."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.kernels = getattr(inner, "kernels", None)

    def forward(self, x, *kernels):
        made = self.inner(x, *kernels)
        return torch.cat((made[:, :1] - 0.5 * x[:, :1], made[:, 1:]), 1)


def shrinking(name, **settings):
    """The part of a network that is an equilibrium, of a map that contracts, in float64."""
    network = made(name, EXACT, **settings)
    owner = getattr(network.form, "parts", network.form)
    if name == "convex-equilibrium":  # nothing is clipped, of which the energy is strongly convex
        torch.nn.init.constant_(network.form.log_threshold, 9.0)
        torch.nn.init.constant_(network.form.log_weight, 1.0)
        torch.nn.init.dirac_(network.form.filters.weight)
        return network
    where = "corrector" if name == "equilibrium" else "regulariser"
    setattr(owner, where, Shrinking(getattr(owner, where)))
    if name == "de-admm":
        owner.step = 1.0
    return network


def data(problem, count=2):
    if problem.complex:
        x = torch.randn(count, *problem.operator.domain_shape, 2, generator=torch.Generator().manual_seed(0))
        return problem.operator(torch.view_as_complex(x))
    return torch.stack([problem.train[i].data for i in range(count)]).to(problem.operator.dtype) / problem.data_range


@contextlib.contextmanager
def converged_or_not():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)
        yield


def quiet(network, y, A):
    """The reconstruction, whether it converged or not."""
    with converged_or_not(), torch.no_grad():
        return network.eval()(y, A)


@every
@both
def test_images_have_the_shape_and_type_of_the_operator(name, problem):
    y = data(problem)
    x = quiet(made(name, problem, depth=20), y, problem.operator)
    assert x.shape == (2, *problem.operator.domain_shape) and x.dtype == problem.operator.dtype
    assert torch.isfinite(torch.view_as_real(x) if problem.complex else x).all()
    if not problem.complex:
        assert (x >= 0).all()


@every
def test_a_batch_is_the_stack_of_its_images(name):
    network, y = shrinking(name), data(EXACT, 3)
    single = torch.cat([quiet(network, one[None], EXACT.operator) for one in y])
    torch.testing.assert_close(quiet(network, y, EXACT.operator), single, rtol=0, atol=1e-6)


@every
@pytest.mark.parametrize("solver", ["picard", "anderson", "broyden"])
def test_it_is_a_fixed_point_whoever_finds_it(name, solver):
    network = shrinking(name, depth=2000, tolerance=1e-8, solver=solver)
    y = data(EXACT)
    with torch.no_grad(), watched() as seen:
        x = network.eval()(y, EXACT.operator)
    [found] = seen
    again = found.f(found.f(found.solution.z))
    assert found.solution.converged.all()
    assert metrics.psnr(x, learned.from_channels(network.form.image(again), x.dtype), 1.0).min() > 120


@pytest.mark.parametrize(
    ("name", "rule"), [*((name, "anderson") for name in FORMS), *(("de-grad", rule) for rule in list(SOLVED)[1:])]
)
def test_gradients_for_weights_and_data_are_those_of_a_long_iteration(name, rule):
    """DE-ADMM's both states included: leaving one out of the implicit gradient would show here."""
    network = shrinking(name, depth=1000, tolerance=1e-11, backward=rule, steps=500, jacobian=0.0).train()
    y = data(EXACT, 1).requires_grad_()

    def gradients(x):
        wanted = [p for p in network.parameters() if p.requires_grad]
        return torch.autograd.grad((x - 0.3).square().sum(), [*wanted, y])

    found = gradients(network(y, EXACT.operator))
    f, state = network.form.begin(y, EXACT.operator)
    for _ in range(100):
        state = f(state)
    for got, expected in zip(found, gradients(network.form.image(state)[:, 0])):
        assert (got - expected).norm() <= 1e-5 * expected.norm()


@forms
def test_memory_for_backward_does_not_grow_with_depth(name):
    def saved(depth):
        sizes = []
        network, y = made(name, depth=depth, tolerance=0.0).train(), data(PROBLEM, 1)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
            network(y, PROBLEM.operator)
        return sum(sizes)

    assert saved(10) == saved(80) > 0


def test_the_unrolled_rival_is_the_same_map_and_does_grow():
    plain = made("equilibrium", depth=9, solver="picard", tolerance=0.0)
    rival = made("equilibrium-unrolled", depth=10)
    rival.load_state_dict(plain.state_dict())
    y, A = data(PROBLEM), PROBLEM.operator
    with torch.no_grad():
        f, state = rival.form.begin(y, A)
        for _ in range(10):
            state = f(state)
        torch.testing.assert_close(rival(y, A), state[:, 0])


@every
def test_depth_limits_the_applications_of_the_operator(name):
    depth = 20
    counting = Counting(PROBLEM.operator)
    quiet(made(name, depth=depth, tolerance=0.0), data(PROBLEM, 1), counting)
    assert counting.pairs <= depth + 1  # the quick reconstruction takes an adjoint more


@every
@pytest.mark.parametrize("depth", [0, -3])
def test_a_depth_below_one_is_refused(name, depth):
    with pytest.raises(ValueError, match=r"expected .*depth"):
        made(name, depth=depth)


def test_a_depth_below_one_is_refused_by_the_rival():
    with pytest.raises(ValueError, match="expected a depth of at least 1, got 0"):
        made("equilibrium-unrolled", depth=0)


@every
def test_a_tolerance_that_is_not_met_is_told(name):
    network = made(name, depth=10, tolerance=1e-12).eval()
    with pytest.warns(NotConverged, match=r"2 of 2 images did not reach the tolerance of 1e-12, .* raise depth"):
        network(data(PROBLEM), PROBLEM.operator)
    made(name, depth=500, tolerance=0.05).eval()(data(PROBLEM), PROBLEM.operator)


@every
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e30])
def test_an_image_that_is_lost_changes_nothing_for_the_others(name, bad):
    network, y, A = made(name, depth=30, tolerance=1e-3), data(PROBLEM, 3), PROBLEM.operator
    wild = y.clone()
    wild[1] = bad
    calm, lost = quiet(network, y, A), quiet(network, wild, A)
    assert torch.equal(calm[::2], lost[::2]) and not torch.equal(calm[1], lost[1])


@every
def test_a_map_that_expands_gives_a_finite_image_and_tells(name):
    network = made(name, depth=30, solver="picard").eval()
    f = network.form.begin
    network.form.begin = lambda y, A: (lambda x: f(y, A)[0](x) + 3 * x + 1, f(y, A)[1])
    with pytest.warns(NotConverged, match="2 of 2 images did not reach the tolerance"), torch.no_grad():
        x = network(data(PROBLEM), PROBLEM.operator)
    assert torch.isfinite(x).all()


@forms
def test_the_penalty_is_there_in_training_alone_and_repeats(name, monkeypatch):
    monkeypatch.setattr(deq, "SELDOM", 1)
    y, A = data(PROBLEM), PROBLEM.operator

    def gradient(penalty):
        network = made(name, jacobian=penalty).train()
        network(y, A).square().mean().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    assert torch.equal(gradient(1.0), gradient(1.0)) and not torch.equal(gradient(1.0), gradient(0.0))
    one, other = (quiet(made(name, jacobian=penalty), y, A) for penalty in (1.0, 0.0))
    assert torch.equal(one, other)


@pytest.mark.parametrize("shape", [(8, 8, 3, 3), (16, 1, 3, 3), (1, 16, 3, 3), (3, 5, 5, 3)])
def test_norm_bound_is_the_norm_of_the_convolution_not_of_the_kernel(shape):
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x = torch.randn(1, shape[1], 40, 40, generator=torch.Generator().manual_seed(1))
    padding = (shape[2] // 2, shape[3] // 2)
    for _ in range(100):
        forth = torch.nn.functional.conv2d(x / x.norm(), kernel, padding=padding)
        x = torch.nn.functional.conv_transpose2d(forth, kernel, padding=padding)
    assert 0.97 * forth.norm() <= regulariser.norm_bound(kernel) <= 1.1 * forth.norm()


def test_norm_bound_has_a_gradient_and_survives_extremes():
    kernel = torch.randn(4, 4, 3, 3, dtype=torch.float32, requires_grad=True)
    regulariser.norm_bound(kernel).backward()
    step = 1e-3 * kernel.grad / kernel.grad.norm()
    rise = regulariser.norm_bound(kernel + step) - regulariser.norm_bound(kernel - step)
    assert rise.item() == pytest.approx(2e-3 * float(kernel.grad.norm()), rel=0.05)
    for scale in (1e-12, 1e12):
        assert float(regulariser.norm_bound(scale * kernel)) == pytest.approx(
            scale * float(regulariser.norm_bound(kernel)), rel=1e-3
        )
    assert torch.isfinite(regulariser.norm_bound(torch.zeros(4, 4, 3, 3)))


@pytest.mark.parametrize("bound", [0.5, 1.0, 4.0])
def test_regulariser_keeps_its_lipschitz_constant(bound):
    torch.manual_seed(0)
    network = regulariser.Regulariser(2, 16, 4, bound)
    with torch.no_grad():
        for layer in network.layers:
            layer.weight.mul_(10)
        kernels = network.kernels()
        x, y = torch.randn(2, 4, 2, 30, 31)
        difference = network(x, kernels) - network(y, kernels)
    assert (difference.flatten(1).norm(dim=1) <= 1.01 * bound * (x - y).flatten(1).norm(dim=1)).all()


def test_the_convex_map_is_nonexpansive_and_converges_by_plain_steps():
    network = made("convex-equilibrium", EXACT, solver="picard", depth=400, tolerance=1e-3)
    torch.nn.init.constant_(network.form.log_weight, 2.0)
    y = data(EXACT, 1)
    f, _ = network.form.begin(y, EXACT.operator)
    x, z = torch.randn(2, 1, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).abs()
    assert (f(x) - f(z)).norm() <= (x - z).norm()
    network.eval()(y, EXACT.operator)


def test_plug_and_play_learns_to_denoise_and_nothing_else():
    network = made("plug-and-play", layers=4).train()
    y, A = data(PROBLEM), PROBLEM.operator
    x = network(y, A)
    assert torch.equal(x, learned.from_channels(network.form.begin(y, A)[1], A.dtype))
    x.square().mean().backward()
    first = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    network(y, A).abs().mean().backward()  # another loss, the same gradient
    assert all(torch.equal(one, p.grad) for one, p in zip(first, network.parameters()))


@forms
def test_steps_along_the_gradient_lower_the_loss(name):
    network, A = made(name, depth=60, backward="anderson", jacobian=0.0).train(), PROBLEM.operator
    truth, y = (torch.stack([getattr(PROBLEM.train[i], p) for i in range(2)]) / 2 for p in ("truth", "data"))
    optimiser = torch.optim.Adam(network.parameters(), 2e-4)
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        loss = (network(y, A) - truth).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["de-grad", "de-prox", "de-admm"])
def test_the_denoiser_is_where_the_published_forms_can_start(name):
    made(name).load_state_dict(made("plug-and-play").state_dict())


@pytest.mark.parametrize("name", ["equilibrium", "plug-and-play"])
def test_weights_of_a_training_are_found(name, tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    small = method_of(name, depth=10, **SIZES.get(name, SMALL))
    y = TOY.samples("test")[0].data[None]
    with converged_or_not():
        train.train(small, TOY, steps=5, folder=tmp_path)
        x = small.build(PROBLEM, small.settings)(y, PROBLEM.operator)
    assert x.shape == (1, 32, 32) and torch.isfinite(x).all()


def test_in_training_it_stops_anywhere_on_its_way_and_otherwise_where_it_converges():
    network = made("equilibrium", depth=40, least=3, backward="phantom", steps=2, tolerance=0.0).train()
    taken = {}
    for seed in range(12):
        y = data(PROBLEM, 1) + seed
        for _ in range(2):
            operator = Counting(PROBLEM.operator)
            network(y, operator)
            taken.setdefault(seed, []).append(operator.pairs)
    first, again = zip(*taken.values())
    assert first == again and len(set(first)) > 4
    assert min(first) >= 3 + 2 and max(first) <= 40 + 2
    operator = Counting(PROBLEM.operator)
    quiet(network, data(PROBLEM, 1), operator)
    assert operator.pairs == 40.5
