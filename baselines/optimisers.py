"""What changes the weights: Adam for all of them, or Muon for the convolutions and Adam for the rest.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces the averaged gradient of a matrix by the
nearest matrix with orthonormal rows or columns, so that no direction of it is left behind. A convolution is the matrix
``(out, in * rows * columns)`` of its kernels, a transposed one has ``in`` rows; parameters that do not have four
dimensions are left to Adam. Steps are as long as those of Adam (Liu et al. 2025, arXiv:2502.16982), which makes the
rate mean the same. torch.optim.Muon takes matrices alone and one at a time; here kernels of equal shapes go together.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from recon_bench.recipe import Recipe

MOMENTUM = 0.95
ITERATIONS = 5
POLYNOMIAL = (3.4445, -4.7750, 2.0315)  # X, X X* X, (X X*)^2 X: brings singular values near one in five iterations
LENGTH = 0.2  # root mean square of a step of Adam


def make(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """The optimisers of a training, which together have every parameter of ``network`` once."""
    kernels = [p for p in network.parameters() if p.ndim == 4] if recipe.optimiser == "muon" else []
    used = {id(p) for p in kernels}
    others = [p for p in network.parameters() if id(p) not in used]
    adam = torch.optim.Adam(others, lr=recipe.rate, betas=(0.9, recipe.beta2), fused=True) if others else None
    return [*([Muon(kernels, recipe.rate)] if kernels else []), *([adam] if adam else [])]


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
