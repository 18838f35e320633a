"""Pure residual network: the learned steps of the unrolled gradient method without its data fit, as post-processing.

x_{k+1} = x_k + C_k(x_k) from filtered backprojection (for MRI the zero-filled image, as two channels): what an unrolled
gradient step leaves when its step size is zero, a residual network (He et al. 2016, doi:10.1109/CVPR.2016.90). Beside
`unrolled-gradient`, which differs in nothing else, it shows what the operator inside the network is worth. Ten blocks
of width 32 have 99,210 parameters, 104,980 for complex images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines import unet, unrolled
from recon_bench import learned
from recon_bench.core import Problem
from recon_bench.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """``blocks`` of three convolutions with ``width`` hidden channels."""

    blocks: int = 10
    width: int = 32
    seed: int = 0
    weights: str = ""


class ResNet(nn.Module):
    """Images ``(batch, channels, rows, columns)`` of any size to their correction."""

    def __init__(self, channels: int, settings: Settings) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(unrolled.proximal(channels, settings.width) for _ in range(settings.blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(batch, channels, rows, columns)`` to their correction, of the same shape."""
        correction = torch.zeros_like(x)
        for block in self.blocks:
            correction = correction + block(x + correction)
        return correction


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained: close to the quick reconstruction. ValueError without a block."""
    if settings.blocks < 1:
        raise ValueError(f"expected at least 1 block, got {settings.blocks}")
    return unet.PostProcessing(unet.quick(problem, unet.Settings()), ResNet(1 + problem.complex, settings))


METHODS = (
    learned.method(
        "resnet",
        network,
        Settings(),
        Recipe(steps=100_000, batch=4, beta2=0.999, crop=256),
        title="ResNet post-processing",
        family="post-processing",
        summary="Ten residual blocks correct filtered backprojection (MRI: the zero-filled image), without data fit.",
        reference="He, Zhang, Ren & Sun, CVPR 2016, doi:10.1109/CVPR.2016.90",
    ),
)
