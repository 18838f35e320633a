"""Operators: matched adjoints, gradients, batches, splits, errors; the ray transform against exact integrals."""

import copy
import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from recon_bench.data.ellipses import averaged, sinogram
from recon_bench.operators import (
    FanBeam,
    FanTransform,
    FunctionOperator,
    Identity,
    MaskedFourier,
    Matrix,
    ParallelBeam,
    RayTransform,
    evenly,
    norm,
)
from recon_bench.operators.sampled import SampledFourier
from tests.helpers import (
    assert_adjoint,
    assert_autocast,
    assert_batches,
    assert_copies,
    assert_empty_batches,
    assert_function_transforms,
    assert_gradients,
    assert_norm,
    assert_results_may_be_changed,
    dense,
    noise,
    relative,
)

GEOMETRIES = {
    "even": ParallelBeam(16, evenly(7), 23),
    "odd": ParallelBeam(17, evenly(6), 24),
    "limited": ParallelBeam(16, evenly(5, math.pi / 6, 5 * math.pi / 6), 23),
    "offset": ParallelBeam(16, evenly(6, offset=0.1), 23),
    "shifted": ParallelBeam(16, evenly(6), 23, shift=1.3),
    "fine-bins": ParallelBeam(15, evenly(5), 61, spacing=0.37),
    "coarse-bins": ParallelBeam(16, evenly(5), 9, spacing=2.6),
    "millimetres": ParallelBeam(16, evenly(6), 23, spacing=0.5, shift=-0.2, pixel=0.43),
    "truncated": ParallelBeam(16, evenly(6), 7),
    "whole-turn": ParallelBeam(12, evenly(8, 0, 2 * math.pi), 18),
    "one-pixel": ParallelBeam(1, (0.3,), 3),
}


def random_geometry(seed: int) -> ParallelBeam:
    rng = np.random.default_rng(seed)
    angles = tuple(rng.uniform(-2 * math.pi, 2 * math.pi, rng.integers(1, 9)).tolist())
    spacing, pixel = rng.uniform(0.2, 3, 2).tolist()
    shift = float(rng.normal())
    return ParallelBeam(int(rng.integers(2, 30)), angles, int(rng.integers(1, 50)), spacing, shift, pixel)


GEOMETRIES |= {f"random-{seed}": random_geometry(seed) for seed in range(4)}
geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())


def forth(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, 2, 10) / 2


def back(y: torch.Tensor) -> torch.Tensor:
    return y.reshape(-1, 4, 5) / 2


def operators(dtype: torch.dtype, device: str = "cpu") -> dict:
    matrix = torch.randn(10, 12, generator=torch.Generator().manual_seed(0), dtype=dtype).to(device)
    return {
        "ray": RayTransform(GEOMETRIES["millimetres"], device, dtype),
        "fourier": MaskedFourier((8, 11), (0, 1, 5, 6, 9), device, dtype),
        "identity": Identity((4, 5), torch.device(device), dtype),
        "matrix": Matrix(matrix, (3, 4), (2, 5)),
        "complex-matrix": Matrix(torch.complex(matrix, matrix.flip(0)), (3, 4), (2, 5)),
        "fan": FanTransform(FanBeam(12, evenly(5, 0, 2 * math.pi), 17, 30.0, 20.0, 1.7), torch.device(device), dtype),
        "points": SampledFourier(np.arange(63).reshape(7, 9) % 3 == 0, torch.device(device), dtype.to_complex()),
        "functions": FunctionOperator((4, 5), (2, 10), forth, back, torch.device(device), dtype),
    }


every_operator = pytest.mark.parametrize("name", operators(torch.float32))
precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@precisions
@geometries
def test_the_ray_transform_has_a_matched_adjoint_in_any_geometry(geometry, dtype):
    A = RayTransform(geometry, dtype=dtype)
    for seed, batch in enumerate([(), (3,), (2, 2)]):
        assert_adjoint(A, batch, seed)


@precisions
@every_operator
def test_adjoint_and_batches(name, dtype):
    A = operators(dtype)[name]
    for batch in ((), (1,), (3,), (2, 2)):
        assert_adjoint(A, batch)
    assert_batches(A)


def test_a_batch_that_is_projected_in_slices():
    """At 512 x 512 eight images go through the matrix at a time."""
    assert_batches(RayTransform(ParallelBeam(512, evenly(2, offset=0.4), 365, spacing=2.0)))


@every_operator
def test_backward_is_the_adjoint_to_second_order_and_in_forward_mode(name):
    A = operators(torch.float64)[name]
    assert_gradients(A)
    assert_gradients(A, (2,))


@precisions
@every_operator
def test_operators_are_at_home_in_torch(name, dtype):
    """Autocast, empty batches, changes of the result in place, copies and pickles."""
    A = operators(dtype)[name]
    for holds in (assert_autocast, assert_empty_batches, assert_results_may_be_changed, assert_copies):
        holds(A)


@every_operator
def test_function_transforms(name):
    assert_function_transforms(operators(torch.float64)[name])


def test_vmap_does_not_take_its_dimension_for_one_of_the_image():
    A = RayTransform(GEOMETRIES["even"])
    with pytest.raises(ValueError, match=r"expects .*16, 16.*got \(16,\)"):
        torch.func.vmap(A)(torch.zeros(16, 16))


def test_half_precision_is_taken_under_autocast_alone():
    A = RayTransform(GEOMETRIES["even"])
    with pytest.raises(TypeError, match=r"float32, got torch\.bfloat16: convert"):
        A(torch.zeros(16, 16, dtype=torch.bfloat16))
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(TypeError, match=r"got torch\.float64"):
        A(torch.zeros(16, 16, dtype=torch.float64))


def test_a_network_around_an_operator_trains_under_autocast():
    """As in training on a CPU with bfloat16: convolutions in half precision, the operator in its own."""
    A = RayTransform(GEOMETRIES["even"])
    before, after = torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Conv2d(1, 1, 3, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image = before(torch.ones(2, 1, 16, 16))
        assert image.dtype == torch.bfloat16
        loss = after(A.adjoint(A(image))).square().mean()
    loss.backward()
    assert before.weight.grad.abs().sum() > 0 and before.weight.grad.isfinite().all()


def test_copies_of_a_ray_transform_share_its_matrices():
    """They are never changed and may take a gigabyte."""
    A = RayTransform(GEOMETRIES["even"])
    assert copy.deepcopy(A) == A
    assert copy.deepcopy(A)._projector is A._projector


def test_the_backend_of_a_ray_transform_has_a_name():
    A = RayTransform(GEOMETRIES["even"])
    assert A.backend == "csr-int32"
    assert [part.backend for part in A.split(2)] == ["csr-int32"] * 2


def test_gradient_of_a_data_fit():
    """The use made of it in learning: the gradient of |A x - y|^2 / 2 is A*(A x - y)."""
    A = RayTransform(GEOMETRIES["even"])
    x, y = noise((2, *A.domain_shape), A).requires_grad_(), noise((2, *A.range_shape), A, 1)
    (A(x) - y).square().sum().div(2).backward()
    assert relative(x.grad, A.adjoint(A(x.detach()) - y)) < 1e-6


@every_operator
def test_norm_is_the_largest_singular_value(name):
    assert_norm(operators(torch.float64)[name])


@geometries
def test_norm_of_the_ray_transform(geometry):
    assert_norm(RayTransform(geometry))


def test_norm_of_nothing_is_zero():
    assert norm(Matrix(torch.zeros(3, 4), (4,), (3,))) == 0


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("name", ["ray", "fourier", "matrix"])
def test_the_parts_of_a_split_are_together_the_operator(name, parts):
    """Part i holds every n-th view, column or row from i on; the sum of their A*A is A*A."""
    A = operators(torch.float64)[name]
    axis = {"ray": 0, "fourier": 1, "matrix": 0}[name]
    x = noise(A.domain_shape, A)
    rows = A(x).flatten() if name == "matrix" else A(x)
    split = A.split(parts)
    assert len(split) == parts
    for i, part in enumerate(split):
        expected = rows.index_select(axis, torch.arange(i, rows.shape[axis], parts))
        torch.testing.assert_close(part(x), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sum(part.adjoint(part(x)) for part in split), A.adjoint(A(x)))


@pytest.mark.parametrize("size", [8, 300])  # in one strip and in two
def test_the_sparse_matrix_is_the_ray_transform(size):
    A = RayTransform(ParallelBeam(size, evenly(3, offset=0.1), 2 * size), dtype=torch.float64)
    x = noise(A.domain_shape, A)
    y = torch.from_numpy(A.matrix() @ x.numpy().ravel())
    torch.testing.assert_close(y.reshape(A.range_shape), A(x))


@pytest.mark.parametrize("name", ["ray", "fourier"])
@pytest.mark.parametrize("parts", [0, 100])
def test_an_impossible_split_is_refused(name, parts):
    with pytest.raises(ValueError, match=r"cannot split .* expected 1 to"):
        operators(torch.float32)[name].split(parts)


@geometries
def test_matrix_equals_that_of_astra(geometry):
    """An independent implementation of Joseph's method, with the same axes and angles."""
    astra = pytest.importorskip("astra")
    n, half = geometry.size, geometry.size * geometry.pixel / 2
    volume = astra.create_vol_geom(n, n, -half, half, -half, half)
    beam = astra.create_proj_geom("parallel", geometry.spacing, geometry.bins, np.array(geometry.angles))
    beam = astra.geom_postalignment(beam, geometry.shift / geometry.spacing)
    projector = astra.create_projector("linear", beam, volume)
    handle = astra.projector.matrix(projector)
    expected = torch.from_numpy(astra.matrix.get(handle).toarray())
    astra.matrix.delete(handle)
    astra.projector.delete(projector)
    assert relative(dense(RayTransform(geometry, dtype=torch.float64)), expected.double()) < 1e-4


PHANTOM = np.array([[1.0, 0.7, 0.5, 0.1, -0.05, 0.4], [0.6, 0.2, 0.3, -0.2, 0.1, -0.7], [-0.5, 0.1, 0.1, 0.3, 0.2, 0]])


@pytest.mark.parametrize(
    "geometry",
    [
        ParallelBeam(256, evenly(40), 367),
        ParallelBeam(255, evenly(40, offset=0.02), 183, spacing=2.0, shift=0.7),
        ParallelBeam(256, evenly(40, 0.3, 1.2), 367, spacing=0.01, shift=-0.004, pixel=0.01),
    ],
    ids=["unit", "coarse-bins", "centimetres"],
)
def test_line_integrals_of_ellipses_within_one_per_cent(geometry):
    """Against the exact sinogram, relative in the l2 norm; it also fixes axes, signs, angles and the length unit."""
    image = torch.from_numpy(averaged(PHANTOM, geometry.size))
    exact = torch.from_numpy(sinogram(PHANTOM, geometry))
    error = RayTransform(geometry, dtype=torch.float64)(image) - exact
    assert torch.linalg.vector_norm(error) < 0.01 * torch.linalg.vector_norm(exact)


def test_line_integrals_of_a_disc_by_its_closed_form():
    """2 sqrt(r^2 - (s - s0)^2): independent of the phantom code, apart from the means over pixels."""
    g, radius, centre = ParallelBeam(256, evenly(24), 367), 60.0, (31.0, -17.0)
    disc = np.array([[1.0, radius / 128, radius / 128, centre[0] / 128, centre[1] / 128, 0.0]])
    theta, s = np.array(g.angles)[:, None], np.arange(g.bins) - (g.bins - 1) / 2
    distance = s - centre[0] * np.cos(theta) - centre[1] * np.sin(theta)
    exact = torch.from_numpy(2 * np.sqrt(np.maximum(radius**2 - distance**2, 0)))
    error = RayTransform(g, dtype=torch.float64)(torch.from_numpy(averaged(disc, 256))) - exact
    assert torch.linalg.vector_norm(error) < 0.01 * torch.linalg.vector_norm(exact)


def test_moving_the_image_shifts_the_sinogram():
    """By dx cos + dy sin at each angle, which a detector moved by as much undoes exactly."""
    n, (right, up) = 24, (3, -2)
    image = torch.zeros(n, n, dtype=torch.float64)
    image[8:15, 9:16] = noise((7, 7), Identity((7, 7), dtype=torch.float64))
    moved = image.roll((-up, right), dims=(0, 1))
    for theta in evenly(9, offset=0.05):
        shift = right * math.cos(theta) + up * math.sin(theta)
        still, follows = (RayTransform(ParallelBeam(n, (theta,), 41, shift=s), dtype=image.dtype) for s in (0, shift))
        assert relative(follows(moved), still(image)) < 1e-12


@pytest.mark.parametrize("n", [16, 17])
def test_turning_the_image_by_a_quarter_turns_the_angles(n):
    angles = evenly(7, offset=0.1)
    later = tuple(angle + math.pi / 2 for angle in angles)
    here, there = (RayTransform(ParallelBeam(n, a, 25), dtype=torch.float64) for a in (angles, later))
    image = noise((n, n), here)
    assert relative(there(torch.rot90(image)), here(image)) < 1e-12


def test_the_view_from_behind_is_reversed():
    angles = evenly(7, offset=0.1)
    behind = tuple(angle + math.pi for angle in angles)
    A, B = (RayTransform(ParallelBeam(16, a, 25, shift=s), dtype=torch.float64) for a, s in ((angles, 1), (behind, -1)))
    image = noise((16, 16), A)
    assert relative(B(image).flip(-1), A(image)) < 1e-12


def test_lengths_scale_with_the_unit():
    """The same scan in millimetres instead of centimetres: integrals are ten times as long."""
    cm, mm = (ParallelBeam(16, evenly(6), 23, 0.5 * unit, 0.1 * unit, 0.4 * unit) for unit in (1, 10))
    A, B = RayTransform(cm, dtype=torch.float64), RayTransform(mm, dtype=torch.float64)
    image = noise((16, 16), A)
    assert relative(B(image), 10 * A(image)) < 1e-12


def test_evenly_spaced_angles():
    assert evenly(4) == pytest.approx((0, math.pi / 4, math.pi / 2, 3 * math.pi / 4))
    assert evenly(2, 1.0, 2.0, offset=0.25) == pytest.approx((1.25, 1.75))


@every_operator
def test_a_wrong_shape_is_named(name):
    A = operators(torch.float32)[name]
    for call, shape in ((A, A.domain_shape), (A.adjoint, A.range_shape)):
        for wrong in ((*shape[:-1], shape[-1] + 1), shape[1:]):
            with pytest.raises(ValueError, match=r"expects .*got"):
                call(noise(wrong, A))


def test_a_wrong_type_is_named():
    A = RayTransform(GEOMETRIES["even"])
    with pytest.raises(TypeError, match=r"float32, got torch\.float64: convert"):
        A(torch.zeros(16, 16, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"float32 or torch\.float64, got torch\.float16"):
        RayTransform(GEOMETRIES["even"], dtype=torch.float16)


@pytest.mark.parametrize(
    "angles",
    [
        np.linspace(0, 3, 4),
        np.linspace(0, 3, 4, dtype=np.float32),
        torch.linspace(0, 3, 4),
        torch.linspace(0, 3, 4).double().requires_grad_(),
        [0, 1, 2, 3],
        [np.float32(k) for k in range(4)],
        (torch.tensor(float(k)) for k in range(4)),
        range(4),
    ],
    ids=["numpy", "float32", "torch", "with gradient", "list", "scalars", "generator", "range"],
)
def test_angles_may_be_any_sequence_of_numbers(angles):
    """They become Python floats, so that equal scans are equal, hash alike and can be written as JSON."""
    g = ParallelBeam(np.int64(8), angles, np.int32(12), np.float32(0.5), shift=0, pixel=torch.tensor(0.5))
    plain = ParallelBeam(8, (0.0, 1.0, 2.0, 3.0), 12, 0.5, 0.0, 0.5)
    assert g == plain and hash(g) == hash(plain)
    assert json.dumps(asdict(g)) == json.dumps(asdict(plain))
    assert RayTransform(g).range_shape == (4, 12)


def test_float32_angles_keep_their_value():
    assert ParallelBeam(8, np.float32([0.1]), 12).angles == (float(np.float32(0.1)),)


@pytest.mark.parametrize("angles", [0.3, np.array(0.3), np.zeros((2, 2)), "0.3", [1j], None], ids=repr)
def test_what_is_no_sequence_of_angles_is_refused(angles):
    with pytest.raises(ValueError, match="angles must be one sequence of numbers, in radians, got"):
        ParallelBeam(8, angles, 12)


def test_columns_may_be_an_array():
    given, plain = MaskedFourier((8, 8), np.array([1, 3])), MaskedFourier((8, 8), (1, 3))
    assert given == plain and hash(given) == hash(plain)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"angles": ()},
        {"bins": 0},
        {"spacing": 0.0},
        {"pixel": -1.0},
        {"shift": math.nan},
        {"angles": (math.inf,)},
        {"spacing": math.nan},
    ],
    ids=str,
)
def test_an_impossible_scan_is_refused(wrong):
    with pytest.raises(ValueError, match="got"):
        ParallelBeam(**{"size": 8, "angles": (0.0,), "bins": 12} | wrong)


def test_a_matrix_too_large_for_its_indices_is_refused_before_it_is_built():
    with pytest.raises(ValueError, match="use fewer views"):
        RayTransform(ParallelBeam(4096, evenly(1000), 5793))


@pytest.mark.parametrize("shape", [(8, 8), (8, 9), (7, 10), (7, 9)])
def test_fourier_follows_the_centred_orthonormal_convention_of_numpy(shape):
    columns = (0, 2, shape[1] // 2, shape[1] - 1)
    A = MaskedFourier(shape, columns, dtype=torch.float64)
    image = noise(shape, A)
    k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image.numpy()), norm="ortho"))
    torch.testing.assert_close(A(image), torch.from_numpy(k[:, columns]))


@pytest.mark.parametrize("shape", [(8, 8), (8, 9), (7, 10), (7, 9)])
def test_the_centre_column_holds_the_zero_frequency(shape):
    """A constant image is one number in k-space, at row n // 2 of column n // 2."""
    A = MaskedFourier(shape, tuple(range(shape[1])), dtype=torch.float64)
    k = A(torch.ones(shape, dtype=A.dtype))
    expected = torch.zeros_like(k)
    expected[shape[0] // 2, shape[1] // 2] = math.sqrt(shape[0] * shape[1])
    torch.testing.assert_close(k, expected)


def test_masked_fourier_has_orthonormal_rows():
    A = MaskedFourier((9, 12), (0, 3, 4, 6, 11), dtype=torch.float64)
    y = noise((2, *A.range_shape), A)
    torch.testing.assert_close(A(A.adjoint(y)), y)
    full = MaskedFourier((9, 12), tuple(range(12)), dtype=torch.float64)
    x = noise((2, 9, 12), full)
    torch.testing.assert_close(full.adjoint(full(x)), x)


@pytest.mark.parametrize("columns", [(), (3, 1), (1, 1), (-1, 2), (2, 8)], ids=str)
def test_impossible_columns_are_refused(columns):
    with pytest.raises(ValueError, match=r"columns must be .* 0\.\.7, got"):
        MaskedFourier((8, 8), columns)


def test_a_matrix_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"need a matrix \(6, 4\), got \(4, 6\)"):
        Matrix(torch.zeros(4, 6), (4,), (2, 3))


def test_matrix_is_matrix_multiplication():
    A = operators(torch.float64)["complex-matrix"]
    torch.testing.assert_close(dense(A), A.matrix)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@precisions
@every_operator
def test_on_cuda(name, dtype):
    """As on the CPU, and with the values of the CPU."""
    A, reference = operators(dtype, "cuda")[name], operators(dtype)[name]
    for batch in ((), (3,), (2, 2)):
        assert_adjoint(A, batch)
    assert_batches(A)
    for holds in (assert_autocast, assert_empty_batches, assert_results_may_be_changed, assert_copies):
        holds(A)
    x = noise(A.domain_shape, reference)
    assert relative(A(x.to("cuda")).cpu(), reference(x)) < 1e-5
