"""Pictures beside results and cards: images in a grey window and data, as uint8 arrays (height, width, 3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from recon_bench.scoring.metrics import magnitude
from recon_bench.storage import sha256
from recon_bench.task import Task

Pixels = npt.NDArray[np.uint8]
QUALITY = 85  # the highest at which all committed pictures together stay below 5 MB


def chosen(task: Task) -> list[int]:
    """The test images whose reconstructions are shown; of fewer images, those that there are."""
    return [index for index in task.pictured if index < task.sizes["test"]]


def name(index: int) -> str:
    """What a test image is called in results and cards."""
    return f"test-{index:04d}"


def grey(image: Tensor, window: tuple[float, float]) -> Pixels:
    """``image`` (rows, columns) with the window's low end black and its high end white."""
    low, high = window
    level = ((magnitude(image).double().numpy() - low) / (high - low)).clip(0, 1)
    return np.repeat((255 * level).round().astype(np.uint8)[..., None], 3, axis=2)


def measurement(data: Tensor) -> Pixels:
    """The data of a task (rows, columns): a sinogram from 0 to its maximum, k-space as the logarithm of its modulus."""
    shown = magnitude(data)
    if data.is_complex():
        shown = (shown / shown.max() + 1e-4).log()
    return grey(shown, (float(shown.min()), float(shown.max())))


def save(pixels: Pixels, path: Path, lossless: bool = False) -> str:
    """Write ``pixels`` as WebP and give the file's sha256. Lossy unless told: to look at, not to measure.

    OSError where the disk refuses it.
    """
    Image.fromarray(pixels).save(path, format="WEBP", quality=100 if lossless else QUALITY, lossless=lossless, method=6)
    return sha256(path.read_bytes())
