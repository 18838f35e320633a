"""An equilibrium that exists and is reached, by construction: the minimum of a learned convex energy.

    E(x) = |Ax - y|_F^2 / 2 + r sum_i h_i(W x),    x <- max(0, x - s grad E(x)),

with the weighted norm whose gradient is B (A x - y), B being filtered backprojection (MRI: the adjoint), filters W of
norm one, and for each filter i a Huber function h_i with a threshold, so that h_i' clips; W, thresholds and r are
learned. The map is a gradient step on a convex function followed by a projection: averaged for every step below 2 / L,
with L <= |B A| + r, so that plain iteration converges from anywhere if there is a minimum (Bauschke & Combettes 2017,
doi:10.1007/978-3-319-48311-5, section 28). Learned convex regularisers of this kind: Goujon et al. 2023,
doi:10.1109/TCI.2023.3306100. The price is what the energy can express: one layer of filters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines import unet
from baselines.deep_equilibrium import allowed, start
from recon_bench import deq, learned
from recon_bench.core import Operator, Problem, Reconstructor
from recon_bench.fixed_point import Map
from recon_bench.recipe import Recipe
from recon_bench.regulariser import norm_bound
from recon_bench.solvers import remember


@dataclass(frozen=True)
class Settings(deq.Settings):
    """Those of an equilibrium; ``filters`` of odd side ``kernel``."""

    filters: int = 64
    kernel: int = 7
    seed: int = 0
    weights: str = ""


class Convex(nn.Module):
    """A form as in ``deq.py``."""

    def __init__(self, problem: Problem, settings: Settings) -> None:
        super().__init__()
        if settings.kernel % 2 == 0:
            raise ValueError(f"expected filters with an odd side, got a kernel of {settings.kernel}")
        self.quick = unet.quick(problem, unet.Settings())
        self.largest = largest(problem.operator, self.quick)
        self.filters = nn.Conv2d(1 + problem.complex, settings.filters, settings.kernel, bias=False)
        self.log_threshold = nn.Parameter(torch.full((settings.filters, 1, 1), math.log(0.01)))
        self.log_weight = nn.Parameter(torch.tensor(math.log(0.5)))

    def begin(self, y: Tensor, A: Operator) -> tuple[Map, Tensor]:
        """The map of the state and where it starts, for data ``(batch, *range_shape)``."""
        kernel = self.filters.weight / norm_bound(self.filters.weight)
        threshold, weight = self.log_threshold.exp(), self.log_weight.exp()
        size = 1 / (self.largest + weight)

        def f(x: Tensor) -> Tensor:
            with learned.full_precision(y):
                missed = A(learned.from_channels(x, A.dtype)) - y
            parts = functional.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
            clipped = torch.maximum(torch.minimum(parts, threshold), -threshold)
            pull = functional.conv_transpose2d(clipped, kernel, padding=kernel.shape[-1] // 2).to(x.dtype)
            return allowed(x - size * (start(self.quick, missed, A) + weight * pull), A)

        return f, start(self.quick, y, A)

    def image(self, state: Tensor) -> Tensor:
        """The image ``(batch, *domain_shape)`` in a ``state``."""
        return state


@remember
def largest(A: Operator, quick: Reconstructor) -> float:
    """The largest eigenvalue of B A, B being ``quick``: symmetric where views are evenly spaced."""
    x = torch.randn(1, *A.domain_shape, generator=torch.Generator().manual_seed(0), dtype=A.dtype).to(A.device)
    size = 0.0
    for _ in range(30):
        x = quick(A(x / x.norm()), A)
        size = float(x.norm())
    return size


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained: random filters."""
    return deq.Equilibrium(Convex(problem, settings), settings)


METHODS = (
    learned.method(
        "convex-equilibrium",
        network,
        Settings(),
        Recipe(steps=50_000, batch=1, optimiser="muon", rate=2e-3),
        title="Convex equilibrium",
        family="equilibrium",
        summary="The minimum of a convex energy of learned filters and thresholds: an averaged map.",
        reference="Goujon et al., IEEE Trans. Comput. Imaging 9, 2023, doi:10.1109/TCI.2023.3306100",
        depth="depth",
    ),
)
