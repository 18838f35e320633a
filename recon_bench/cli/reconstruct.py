"""`recon-bench reconstruct`: images of measured data, of which nobody knows the truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command

if TYPE_CHECKING:
    from torch import Tensor

    from recon_bench.reconstruction.reconstruct import Reconstructed

CHOICES = ("auto", "nearest", "discrepancy", "l-curve", "default")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    parser.add_argument("method", metavar="METHOD", help="a name or a Python file")
    parser.add_argument("--data", required=True, type=Path, metavar="Y.npy", help="a sinogram, or k-space")
    parser.add_argument("--geometry", required=True, type=Path, metavar="G.toml", help="see docs/own-data.md")
    parser.add_argument("--out", type=Path, metavar="X.npy", help="where the images go, as an array")
    parser.add_argument("--picture", type=Path, metavar="X.png", help="where a grey picture of them goes")
    window = "black and white of the picture"
    parser.add_argument("--window", nargs=2, type=options.finite, metavar=("LOW", "HIGH"), help=window)
    parser.add_argument("--choose", choices=CHOICES, default="auto", help="how settings are chosen; default: auto")
    setting = "a setting of the method, as in iterations=50; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE", help=setting)
    parser.add_argument("--device", default="cpu", help="a torch device; default: cpu")


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct, write what was asked for, and say how it was done; ValueError for what the user can put right."""
    options.check_device(arguments.device)
    import torch

    from recon_bench import registry
    from recon_bench.reconstruction import scan
    from recon_bench.reconstruction.reconstruct import reconstruct

    method = options.with_code(registry.imported, arguments.method)
    given = registry.converted(method.settings, options.pairs(arguments.set), method.name)
    measured = scan.read(arguments.data, arguments.geometry, torch.device(arguments.device))
    known = options.results_in(arguments.results) if arguments.results.is_dir() else []
    found = reconstruct(method, measured, known, arguments.choose, given)
    images = _combined(found.images) if measured.coils else found.images
    print(printing.pairs(list(_told(method.name, found, images))))
    if arguments.out:
        _write_array(images, arguments.out)
    if arguments.picture:
        _write_picture(images, arguments.picture, arguments.window)
    return 0


def _combined(images: Tensor) -> Tensor:
    """The root of the sum of squares over the coils (n, rows, columns), as one image."""
    return images.abs().square().sum(0, keepdim=True).sqrt()


def _told(name: str, found: Reconstructed, images: Tensor) -> Any:
    shown = images.abs() if images.is_complex() else images
    yield "method", name
    yield "settings", ", ".join(f"{key} = {value}" for key, value in found.settings.items()) or "none"
    yield "chosen", found.why
    yield "images", f"{' x '.join(map(str, images.shape))}, from {float(shown.min()):.4g} to {float(shown.max()):.4g}"
    yield "|A x - y| / |y|", ", ".join(f"{value:.4f}" for value in found.misfit[:4])
    if found.times_noise is not None:
        yield "|A x - y| / noise", ", ".join(f"{value:.3f}" for value in found.times_noise[:4])
    yield "seconds", f"{found.set_up:.2f} to set up, {found.seconds:.2f} to reconstruct"
    for note in found.notes:
        yield "note", note


def _write_array(images: Tensor, path: Path) -> None:
    import numpy as np

    with path.open("wb") as file:
        np.save(file, images.squeeze(0).numpy())


def _write_picture(images: Tensor, path: Path, window: list[float] | None) -> None:
    """The images beside one another, from black to white in ``window``, or else over their middle 99 %."""
    import torch
    from PIL import Image

    from recon_bench.scoring.metrics import magnitude
    from recon_bench.scoring.pictures import grey

    shown = magnitude(images)
    ends = torch.quantile(shown.flatten()[:: max(1, shown.numel() // 2**23)], torch.tensor([0.005, 0.995]))
    low, high = window or ends.tolist()
    if not high > low:
        raise ValueError(f"expected a window whose HIGH is above its LOW, got {low:g} to {high:g}")
    Image.fromarray(grey(torch.cat(list(shown), 1), (low, high))).save(path)


COMMAND = Command("reconstruct measured data, without a truth", add_arguments, run, place=10)
