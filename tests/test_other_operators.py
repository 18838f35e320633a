"""Tasks that are neither parallel-beam nor Fourier, a fan beam and a blur: each method runs or says why not."""

import dataclasses
import warnings
from dataclasses import dataclass, field

import pytest
import torch
from torch.nn import functional

from baselines import tsvd, tv
from recon_bench import registry
from recon_bench.core import NotApplicable, NotConverged
from recon_bench.operators import Matrix, ParallelBeam, RayTransform, evenly
from recon_bench.operators.autograd import Map, linear
from recon_bench.scoring.counting import Counting
from tests.helpers import assert_adjoint, assert_autocast, assert_batches, assert_function_transforms
from tests.test_baselines_direct import problem


@dataclass(frozen=True)
class FanBeam:
    """A geometry with all that a parallel beam has and the distance of the source."""

    size: int
    angles: tuple[float, ...]
    bins: int
    spacing: float = 1.0
    shift: float = 0.0
    pixel: float = 1.0
    source: float = 60.0

    def rows(self) -> torch.Tensor:
        """Weights ``(views * bins, pixels)`` that fall off around each ray from the source to a bin."""
        grid = torch.arange(self.size) - (self.size - 1) / 2
        x, y = grid.repeat(self.size), -grid.repeat_interleave(self.size)
        theta = torch.tensor(self.angles)[:, None, None]
        across, along = x * theta.cos() + y * theta.sin(), y * theta.cos() - x * theta.sin()
        s = (torch.arange(self.bins) - (self.bins - 1) / 2)[:, None] * self.spacing
        distance = across - s * (self.source - along) / self.source
        return (1 - distance.abs()).clamp(min=0).reshape(-1, self.size**2)


@dataclass(frozen=True, eq=False)
class FanTransform(Matrix):
    """Offers ``geometry`` and parts by views, as the parallel beam does."""

    geometry: FanBeam = FanBeam(1, (0.0,), 1)

    def split(self, n):
        views, bins = self.range_shape
        rows = self.matrix.reshape(views, bins, -1)
        parts = [FanBeam(16, self.geometry.angles[i::n], bins) for i in range(n)]
        return [
            FanTransform(rows[i::n].flatten(0, 1), self.domain_shape, (len(g.angles), bins), g)
            for i, g in enumerate(parts)
        ]


@dataclass(frozen=True)
class Blur:
    """Convolution with a Gaussian, zero outside; it cannot be split and has no geometry."""

    domain_shape: tuple[int, int] = (16, 16)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @property
    def range_shape(self):
        return self.domain_shape

    def __call__(self, x):
        blur = Map(self._convolve, self.domain_shape, self.domain_shape, self.dtype, "the blur")
        return linear(x, blur, blur)  # a symmetric kernel: its own adjoint

    adjoint = __call__

    def _convolve(self, x):
        kernel = torch.exp(-(torch.arange(-2, 3, dtype=self.dtype) ** 2) / 2)
        kernel = kernel / kernel.sum()
        return functional.conv2d(x[:, None], torch.outer(kernel, kernel)[None, None], padding=2)[:, 0]


FAN = FanBeam(16, evenly(9, stop=6.28), 21)
OPERATORS = {"fan": FanTransform(FAN.rows(), (16, 16), (9, 21), FAN), "blur": Blur()}
PARALLEL = ("fbp", "astra-fbp", "astra-sirt", "skimage-fbp", "skimage-sart")
CLASSICAL = [name for name, method in registry.methods().items() if method.network is None]
LEARNED = [name for name, method in registry.methods().items() if method.network is not None]

on_both = pytest.mark.parametrize("kind", OPERATORS)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_BENCH_CACHE", str(tmp_path))


def data(A):
    x = torch.zeros(2, 16, 16)
    x[0, 4:10, 5:12], x[1, 7:13, 3:6] = 1.0, 0.5
    return A(x)


def reason(kind, name):
    """What a method says that does not apply, or None."""
    measures = {"fan": "measures with FanTransform of FanBeam", "blur": "measures with Blur"}[kind]
    if name in PARALLEL:
        return f"needs a parallel-beam ray transform, this task {measures}"
    if name in ("kaczmarz", "sgd") and kind == "blur":
        return "needs an operator that can be split into views, columns or rows"
    return "needs Fourier data" if name == "zero-filled" else None


@on_both
def test_the_operators_of_these_tests_are_what_they_promise(kind):
    A = OPERATORS[kind]
    assert_adjoint(A, (3,))
    assert_batches(A)
    assert_autocast(A)


def test_an_operator_written_on_the_glue_alone_has_all_of_it():
    assert_function_transforms(Blur((4, 5), dtype=torch.float64))


@pytest.mark.parametrize("name", CLASSICAL)
@on_both
def test_every_classical_method_runs_or_says_why_not(kind, name):
    A, method = OPERATORS[kind], registry.method(name)
    why = reason(kind, name)
    if why:
        with pytest.raises(NotApplicable, match=why):
            method.build(problem(A), method.settings)
        return
    reconstruct, y = method.build(problem(A), method.settings), data(A)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)
        x = reconstruct(y, A)
    assert x.shape == (2, 16, 16) and x.isfinite().all()
    assert (A(x) - y).norm() < 0.5 * y.norm()


def test_counting_applications_offers_no_more_than_the_operator():
    """As where the time of a method is measured."""
    for name in ("fbp", "sgd"):
        method = registry.method(name)
        with pytest.raises(NotApplicable):
            method.build(problem(Counting(OPERATORS["blur"])), method.settings)


@pytest.mark.parametrize("name", LEARNED)
@on_both
def test_every_network_is_made_or_says_why_not(kind, name):
    A, method = OPERATORS[kind], registry.method(name)
    try:
        network = method.network(problem(A), method.settings)
    except NotApplicable as error:
        assert "parallel-beam ray transform" in str(error) or "random ellipses" in str(error)
        return
    with torch.no_grad():
        assert network(data(A), A).shape == (2, 16, 16)


def test_a_fan_beam_is_not_taken_for_the_parallel_beam_of_the_same_numbers():
    """Neither its filter nor its symmetry nor what the cache holds of it."""
    numbers = {field.name: getattr(FAN, field.name) for field in dataclasses.fields(ParallelBeam)}
    ray, fan = RayTransform(ParallelBeam(**numbers)), OPERATORS["fan"]
    assert len(tv.precondition(ray).gain) > 1
    assert torch.equal(tv.precondition(fan).gain, torch.ones(1))
    tsvd.spectrum(ray)
    values = tsvd.spectrum(fan)[1]
    expected = torch.linalg.svdvals(fan.matrix)
    assert torch.allclose(values.sqrt(), expected[: len(values)], atol=1e-3 * float(expected[0]))
