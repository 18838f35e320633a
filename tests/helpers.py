"""What every linear operator must satisfy, as assertions: shapes first, then adjointness, gradients, norm."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recon_bench.core import Operator
from recon_bench.operators import norm

ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-13, torch.complex64: 1e-6, torch.complex128: 1e-13}


def noise(shape: tuple[int, ...], A: Operator, seed: int = 0) -> Tensor:
    """Seeded standard normal numbers of A's type on its device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=A.dtype).to(A.device)


def inner(a: Tensor, b: Tensor) -> complex:
    """<a, b>, accumulated in double precision."""
    return torch.vdot(a.flatten().to(torch.complex128), b.flatten().to(torch.complex128)).item()


def relative(a: Tensor, b: Tensor) -> float:
    """Largest deviation of ``a`` from ``b``, relative to the largest magnitude of ``b``."""
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max())


def assert_adjoint(A: Operator, batch: tuple[int, ...] = (), seed: int = 0) -> None:
    """Shapes, types and devices are as promised and <A x, y> = <x, A* y> to rounding."""
    x, y = noise((*batch, *A.domain_shape), A, seed), noise((*batch, *A.range_shape), A, seed + 1)
    Ax, Ay = A(x), A.adjoint(y)
    assert Ax.shape == y.shape, f"A maps {tuple(x.shape)} to {tuple(Ax.shape)}, promised {tuple(y.shape)}"
    assert Ay.shape == x.shape, f"the adjoint maps {tuple(y.shape)} to {tuple(Ay.shape)}, promised {tuple(x.shape)}"
    assert Ax.dtype == Ay.dtype == A.dtype
    assert Ax.device == Ay.device == x.device
    scale = float(torch.linalg.vector_norm(Ax) * torch.linalg.vector_norm(y))
    assert abs(inner(Ax, y) - inner(x, Ay)) <= ROUNDING[A.dtype] * scale


def assert_gradients(A: Operator, batch: tuple[int, ...] = ()) -> None:
    """The backward of A is its adjoint and the other way round, to second order and in forward mode (A in float64)."""
    x, y = noise((*batch, *A.domain_shape), A), noise((*batch, *A.range_shape), A, seed=1)
    for call, back, point, direction in ((A, A.adjoint, x, y), (A.adjoint, A, y, x)):
        point.requires_grad_()
        (gradient,) = torch.autograd.grad(call(point), point, direction.detach())
        torch.testing.assert_close(gradient, back(direction.detach()), rtol=0, atol=0)
        torch.autograd.gradcheck(call, point, fast_mode=True, check_forward_ad=True)
        torch.autograd.gradgradcheck(call, point, fast_mode=True)
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(call(forward_ad.make_dual(point, torch.ones_like(point)))).tangent
        torch.testing.assert_close(tangent, call(torch.ones_like(point)))


def assert_batches(A: Operator) -> None:
    """A batch is the stack of its images, whatever its size and number of dimensions."""
    for batch in ((1,), (3,), (2, 3), (17,)):
        for call, shape in ((A, A.domain_shape), (A.adjoint, A.range_shape)):
            x = noise((*batch, *shape), A)
            y = call(x)
            assert y.shape[: len(batch)] == batch
            single = torch.stack([call(image) for image in x.reshape(-1, *shape)])
            assert relative(y.flatten(0, len(batch) - 1), single) < ROUNDING[A.dtype]


def dense(A: Operator) -> Tensor:
    """The matrix of a small A (range elements, domain elements)."""
    count = torch.Size(A.domain_shape).numel()
    units = torch.eye(count, dtype=A.dtype, device=A.device).reshape(count, *A.domain_shape)
    return A(units).reshape(count, -1).T


def assert_norm(A: Operator, tolerance: float = 5e-3) -> None:
    """The power method finds the largest singular value of the matrix, from below, the same at every call."""
    exact = float(torch.linalg.matrix_norm(dense(A), ord=2))
    found = norm(A)
    assert (1 - tolerance) * exact <= found <= exact * (1 + ROUNDING[A.dtype])
    assert norm(A) == found
