"""U-Net post-processing: a convolutional network takes the artefacts out of a quick reconstruction.

As in FBPConvNet (Jin et al. 2017, doi:10.1109/TIP.2017.2713099): encoder and decoder with skip connections, 3 x 3
convolutions with batch normalisation, and the network gives the correction, not the image. Here the last layer starts
at zero, so that training starts from the quick reconstruction: filtered backprojection, or for MRI the zero-filled
image as two channels. The published width is 64 with 5 scales; 32 with 4 have a sixteenth of the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines import fbp
from recon_bench import learned
from recon_bench.core import Operator, Problem, Reconstructor
from recon_bench.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """``width``: channels at the finest of ``scales``, doubled at each coarser; ``filter``, ``cutoff``: of the FBP."""

    width: int = 32
    scales: int = 4
    filter: str = "hann"
    cutoff: float = 1.0
    seed: int = 0
    weights: str = ""


def block(channels: int, out: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with batch normalisation and a ReLU."""
    layers: list[nn.Module] = []
    for i in (channels, out):
        layers += [nn.Conv2d(i, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Images ``(batch, channels, rows, columns)`` of any size to their correction."""

    def __init__(self, channels: int, width: int, scales: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(scales)]
        self.multiple = 2 ** (scales - 1)
        self.down = nn.ModuleList(block(i, out) for i, out in zip([channels, *widths], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * out, out, 2, stride=2) for out in widths[-2::-1])
        self.merge = nn.ModuleList(block(2 * out, out) for out in widths[-2::-1])
        self.last = nn.Conv2d(width, channels, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(batch, channels, rows, columns)`` to others of the same shape; sides need not divide."""
        rows, columns = x.shape[-2:]
        x = functional.pad(x, (0, -columns % self.multiple, 0, -rows % self.multiple), mode="replicate")
        skips = [x := self.down[0](x)]
        for down in self.down[1:]:
            skips.append(x := down(functional.max_pool2d(x, 2)))
        skips.pop()
        for up, merge in zip(self.up, self.merge):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        return self.last(x)[..., :rows, :columns]


class PostProcessing(nn.Module):
    """``(y, A) -> x``: a quick reconstruction and its correction by ``network``."""

    def __init__(self, quick: Reconstructor, network: nn.Module) -> None:
        super().__init__()
        self.quick, self.network = quick, network

    def prepare(self, y: Tensor, A: Operator) -> Tensor:
        """The quick reconstruction ``(batch, rows, columns)``."""
        with learned.full_precision(y):
            return self.quick(y, A)

    def refine(self, start: Tensor) -> Tensor:
        """``start`` with its correction."""
        return start + learned.from_channels(self.network(learned.to_channels(start)), start.dtype)

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        return self.refine(self.prepare(y, A))


def quick(problem: Problem, settings: Settings) -> Reconstructor:
    """Filtered backprojection; zero-filling where images are complex."""
    if problem.complex:
        return lambda y, A: A.adjoint(y)
    return fbp.build(problem, fbp.Settings(settings.filter, settings.cutoff))


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained: gives the quick reconstruction."""
    return PostProcessing(quick(problem, settings), UNet(1 + problem.complex, settings.width, settings.scales))


UNET = learned.method(
    "unet",
    network,
    Settings(),
    Recipe(steps=100_000, batch=4, beta2=0.999, crop=256),
    title="U-Net post-processing",
    family="post-processing",
    summary="A U-Net that corrects filtered backprojection (MRI: the zero-filled image), of width 32 at 4 scales.",
    reference="Jin, McCann, Froustey & Unser, IEEE Trans. Image Process. 26, 2017, doi:10.1109/TIP.2017.2713099",
)

METHODS = (UNET, learned.on_phantoms(UNET))
