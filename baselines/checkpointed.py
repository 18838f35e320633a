"""The unrolled projected gradient with activation checkpointing: the same network in less memory and more time.

Only the images between segments of steps are kept for the backward pass, where each segment is computed again (Chen et
al. 2016, arXiv:1604.06174). With one step a segment, what is kept grows by an image a step and what is computed again
does not grow; with a square root of the depth of them, both grow like the square root. Weights are those of
``unrolled-gradient`` (`--set weights=TASK/unrolled-gradient`): the gradients are the same, the memory is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import cycle, islice

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from baselines import unrolled
from recon_bench import learned
from recon_bench.core import Operator, Problem
from recon_bench.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """``depth``: steps, each A and its adjoint; ``segment``: steps computed again at once, 0 for the root of depth.

    ``width`` and ``tied`` as of the unrolled gradient.
    """

    depth: int = 10
    segment: int = 1
    width: int = 32
    tied: bool = False
    seed: int = 0
    weights: str = ""


class Checkpointed(nn.Module):
    """``(y, A) -> x`` as of the ``plain`` network, in segments of so many steps."""

    def __init__(self, plain: unrolled.Unrolled, segment: int) -> None:
        super().__init__()
        self.steps, self.depth, self.quick, self.norm = plain.steps, plain.depth, plain.quick, plain.norm
        self.segment = segment

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        operator = learned.Scaled(A, self.norm)
        data = learned.to_channels(y) / self.norm
        with learned.full_precision(y):
            x = learned.to_channels(self.quick(y, A))
        steps = list(islice(cycle(self.steps), self.depth))

        def run(part: list[nn.Module], x: Tensor) -> Tensor:
            for step in part:
                x = step(x, operator.adjoint(operator(x) - data))
            return x

        for first in range(0, self.depth, self.segment):
            part = steps[first : first + self.segment]
            x = checkpoint(run, part, x, use_reentrant=False) if torch.is_grad_enabled() else run(part, x)
        return learned.from_channels(x, A.dtype)


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained; the same as the unrolled gradient of these settings."""
    if settings.segment < 0:
        raise ValueError(f"expected a segment of at least 0, got {settings.segment}")
    same = unrolled.GradientSettings(settings.depth, settings.width, settings.tied, settings.seed)
    plain = unrolled.gradient(problem, same)
    assert isinstance(plain, unrolled.Unrolled)
    return Checkpointed(plain, settings.segment or math.ceil(math.sqrt(settings.depth)))


METHODS = tuple(
    learned.method(
        name,
        network,
        Settings(segment=segment),
        Recipe(steps=100_000, batch=5),
        title=f"Unrolled projected gradient, {title}",
        family="unrolled",
        summary=f"The unrolled projected gradient, of which the backward pass computes {what} again.",
        reference="Chen et al. 2016, arXiv:1604.06174",
        depth="depth",
    )
    for name, title, segment, what in (
        ("unrolled-gradient-checkpointed", "checkpointed", 1, "one step after the other"),
        ("unrolled-gradient-segments", "checkpointed in segments", 0, "segments of the square root of all steps"),
    )
)
