"""What changes the weights: Adam for all of them, or Muon or SOAP for the convolutions and Adam for the rest.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces the averaged gradient of a matrix by the
nearest matrix with orthonormal rows or columns, so that no direction of it is left behind. A convolution is the matrix
``(out, in * rows * columns)`` of its kernels, a transposed one has ``in`` rows; parameters that do not have four
dimensions are left to Adam. Steps are as long as those of Adam (Liu et al. 2025, arXiv:2502.16982), which makes the
rate mean the same. torch.optim.Muon takes matrices alone and one at a time; here kernels of equal shapes go together.

SOAP (Vyas et al. 2024, arXiv:2409.11321) is Adam for the same matrices in other coordinates: the principal axes of
their gradients' rows and columns, followed by one power iteration every few steps. Torch has none. From the
paper differ: nothing moves before ten gradients have given the axes (there one), which then follow before a step, not
after it; the averaged gradient is not corrected for its start at zero, so that steps grow over the first twenty; what
Adam divides by has a floor relative to its root mean square.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from recon_bench.recipe import Recipe

MOMENTUM = 0.95
ITERATIONS = 5
POLYNOMIAL = (3.4445, -4.7750, 2.0315)  # X, X X* X, (X X*)^2 X: brings singular values near one in five iterations
LENGTH = 0.2  # root mean square of a step of Adam

DECAY = 0.95  # of all averages of SOAP
FIRST = 10  # gradients that give its axes
EVERY = 10  # steps between power iterations
LARGEST = 1024  # a longer side of a matrix keeps its coordinates: the cost of axes grows with the cube
FAINT, TINY = 1e-4, 1e-15  # floors of what Adam divides by: of its root mean square, and absolute


def make(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """The optimisers of a training, which together have every parameter of ``network`` once.

    Kernels of convolutions are the recipe's optimiser's, all else is Adam's; there may be none of either.
    """
    special = {"adam": None, "muon": Muon, "soap": Soap}[recipe.optimiser]
    kernels = [p for p in network.parameters() if special and p.ndim == 4]
    used = {id(p) for p in kernels}
    others = [p for p in network.parameters() if id(p) not in used]
    adam = torch.optim.Adam(others, lr=recipe.rate, betas=(0.9, recipe.beta2), fused=True) if others else None
    return [*([special(kernels, recipe.rate)] if special and kernels else []), *([adam] if adam else [])]


class Muon(torch.optim.Optimizer):
    """For kernels ``(out, in, rows, columns)``; the state of each is its averaged gradient. No gradient, no step."""

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float) -> None:
        super().__init__(parameters, {"lr": rate})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step along the orthogonalised averages of the gradients."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.any():
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for shape, same in shapes.items():
                moved = orthogonal(torch.stack([self._ahead(p).flatten(1) for p in same]))
                length = LENGTH * max(moved.shape[1:]) ** 0.5
                for parameter, direction in zip(same, moved):
                    parameter.add_(direction.reshape(shape), alpha=-group["lr"] * length)

    def _ahead(self, parameter: Tensor) -> Tensor:
        """The average of the gradients, one step ahead (Nesterov), in the shape of the parameter."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        return parameter.grad.lerp(average, MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """``(n, rows, columns)`` to nearly U V* of each singular value decomposition U S V*, by Newton and Schulz."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.abs().amax((1, 2), keepdim=True).clamp_min(1e-30)  # squares of tiny gradients would vanish
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    a, b, c = POLYNOMIAL
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Soap(torch.optim.Optimizer):
    """For kernels ``(out, in, rows, columns)``; the state of each is Adam's, and its axes. No gradient, no step."""

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float) -> None:
        super().__init__(parameters, {"lr": rate})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step of Adam in the coordinates of each kernel."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.any():
                    direction = adam_in_own_axes(self.state[parameter], parameter.grad.flatten(1))
                    parameter.add_(direction.reshape(parameter.shape), alpha=-group["lr"])


def adam_in_own_axes(state: dict[str, Any], gradient: Tensor) -> Tensor:
    """The direction ``(rows, columns)`` of the next step; changes ``state``, which is empty before the first one."""
    if not state:
        sides = [size if size <= LARGEST else 0 for size in gradient.shape]
        products = [gradient.new_zeros(size, size) if size else None for size in sides]
        start = torch.zeros_like(gradient)
        state |= {"steps": 0, "average": start, "square": start.clone(), "products": products, "axes": [None, None]}
    state["steps"] += 1
    for products, g in zip(state["products"], (gradient, gradient.mT)):
        if products is not None:
            products.lerp_(g @ g.mT, 1 - DECAY)
    if state["steps"] < FIRST:
        return torch.zeros_like(gradient)
    if state["steps"] == FIRST:
        state["axes"] = [None if p is None else _principal_axes(p) for p in state["products"]]
    elif state["steps"] % EVERY == 0:
        _follow(state)
    average = state["average"].lerp_(gradient, 1 - DECAY)
    square = state["square"].lerp_(_turned(state, gradient).square(), 1 - DECAY)
    scale = (square / (1 - DECAY ** (state["steps"] - FIRST + 1))).sqrt()
    direction = _turned(state, average) / (scale + FAINT * scale.square().mean().sqrt() + TINY)
    return _turned(state, direction, back=True)


def _turned(state: dict[str, Any], matrix: Tensor, back: bool = False) -> Tensor:
    """A matrix in the coordinates of the axes, or one that is there brought ``back``."""
    left, right = state["axes"]
    if left is not None:
        matrix = (left if back else left.mT) @ matrix
    if right is not None:
        matrix = matrix @ (right.mT if back else right)
    return matrix


def _principal_axes(products: Tensor) -> Tensor:
    """Columns of an orthogonal matrix, the strongest first; of what is not finite, which training reports, any."""
    return torch.linalg.eigh(products.nan_to_num(0.0, 0.0, 0.0).double())[1].flip(1).to(products)


def _follow(state: dict[str, Any]) -> None:
    """One power iteration of the axes, then in the order of their strength; the squares go with their axes."""
    for side, (axes, products) in enumerate(zip(state["axes"], state["products"])):
        if axes is not None:
            powered = products @ axes
            order = (axes * powered).sum(0).argsort(descending=True, stable=True)
            state["square"] = state["square"].index_select(side, order)
            state["axes"][side] = torch.linalg.qr(powered[:, order])[0]
