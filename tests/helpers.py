"""What every linear operator must satisfy, as assertions: shapes first, then adjointness, gradients, norm."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator

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


def alike(a: Tensor, b: Tensor) -> bool:
    """Equal on a CPU; on a GPU, where sums have no fixed order, to rounding."""
    return torch.equal(a, b) if a.device.type == "cpu" else relative(a, b) < ROUNDING.get(a.dtype, 1e-2)


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


def directions(A: Operator) -> Iterator[tuple[Callable[[Tensor], Tensor], tuple[int, ...], tuple[int, ...]]]:
    """A and its adjoint, each with the shapes that it takes and gives."""
    yield A, A.domain_shape, A.range_shape
    yield A.adjoint, A.range_shape, A.domain_shape


def assert_empty_batches(A: Operator) -> None:
    """No images give no data, with a gradient of no images."""
    for batch in ((0,), (3, 0)):
        for call, source, target in directions(A):
            x = noise((*batch, *source), A).requires_grad_()
            y = call(x)
            assert y.shape == (*batch, *target) and y.dtype == A.dtype and y.device == x.device
            (gradient,) = torch.autograd.grad(y.abs().sum(), x)
            assert gradient.shape == x.shape


def assert_results_may_be_changed(A: Operator) -> None:
    """What A gives is the caller's: changing it in place leaves A, the input and the gradient as they are."""
    for batch in ((), (1,), (3,), (2, 3)):
        for call, source, target in directions(A):
            x = noise((*batch, *source), A)
            kept, expected = x.clone(), call(x).clone()
            call(x).zero_()
            assert torch.equal(x, kept) and alike(call(x), expected)
            weight = noise((*batch, *target), A, seed=1)
            gradients = []
            for changed in (lambda y: y.mul_(2).add_(1), lambda y: y * 2 + 1):
                point = x.clone().requires_grad_()
                (changed(call(point * 1)) * weight).abs().sum().backward()
                gradients.append(point.grad)
            assert alike(*gradients)


def assert_autocast(A: Operator) -> None:
    """Under autocast A computes in its own type, both ways; a real one takes half precision too."""
    device = A.device.type
    for call, source, target in directions(A):
        x = noise((3, *source), A).requires_grad_()
        weight = noise((3, *target), A, seed=1)
        expected = call(x)
        (gradient,) = torch.autograd.grad(expected, x, weight)
        with torch.autocast(device, dtype=torch.bfloat16):
            y = call(x)
            assert y.dtype == A.dtype and alike(y, expected)
            assert alike(torch.autograd.grad(y, x, weight)[0], gradient)
            if not A.dtype.is_complex:
                half = x.detach().bfloat16().requires_grad_()
                assert alike(call(half), call(half.to(A.dtype)))
                (gradient_of_half,) = torch.autograd.grad(call(half), half, weight)
                assert alike(gradient_of_half, gradient.bfloat16())


def assert_function_transforms(A: Operator) -> None:
    """torch.func's vmap (over any dimension, nested, in chunks), jacrev, jacfwd and hessian; A small, in float64."""
    for call, source, _ in directions(A):
        x = noise((2, 3, *source), A)
        expected = call(x)
        close = {"rtol": 1e-12, "atol": 1e-12}
        torch.testing.assert_close(torch.func.vmap(call)(x), expected, **close)
        torch.testing.assert_close(torch.func.vmap(torch.func.vmap(call))(x), expected, **close)
        torch.testing.assert_close(torch.func.vmap(call, in_dims=1, out_dims=1)(x), expected, **close)
        torch.testing.assert_close(torch.func.vmap(call, chunk_size=1)(x), expected, **close)
        one = torch.func.vmap(call, in_dims=-1)(x[0, 0][..., None])  # a single image on a dimension of its own
        torch.testing.assert_close(one, call(x[:1, 0]), **close)

        def real(z: Tensor, call: Callable[[Tensor], Tensor] = call) -> Tensor:
            """``call`` between real numbers: a Jacobian is of those."""
            return torch.view_as_real(call(torch.view_as_complex(z))) if A.dtype.is_complex else call(z)

        z = torch.view_as_real(x[0, 0]).clone() if A.dtype.is_complex else x[0, 0]
        units = torch.eye(z.numel(), dtype=z.dtype, device=z.device).reshape(-1, *z.shape)
        matrix = torch.stack([real(unit) for unit in units], -1).reshape(*real(z).shape, *z.shape)
        for jacobian in (torch.func.jacrev(real), torch.func.jacfwd(real)):
            torch.testing.assert_close(jacobian(z), matrix, **close)
        flat = matrix.reshape(-1, z.numel())
        hessian = torch.func.hessian(lambda z, real=real: real(z).square().sum() / 2)(z)
        torch.testing.assert_close(hessian.reshape(z.numel(), z.numel()), flat.T @ flat, rtol=1e-9, atol=1e-9)
        jacobian = torch.autograd.functional.jacobian(real, z, vectorize=True)
        torch.testing.assert_close(jacobian, matrix, **close)


def assert_copies(A: Operator) -> None:
    """A deep copy and one from a pickle do the same, also as part of a network."""
    network = torch.nn.Module()
    network.operator = A
    A.adjoint(A(noise(A.domain_shape, A)))  # one that has been in use
    for other in (copy.deepcopy(A), pickle.loads(pickle.dumps(A)), copy.deepcopy(network).operator):
        assert (other.domain_shape, other.range_shape) == (A.domain_shape, A.range_shape)
        assert (other.device, other.dtype) == (A.device, A.dtype)
        for ours, theirs, shape in ((A, other, A.domain_shape), (A.adjoint, other.adjoint, A.range_shape)):
            x = noise((2, *shape), A)
            assert torch.equal(ours(x), theirs(x))


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
