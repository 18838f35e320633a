"""Pictures beside the results: grey windows, error maps and strips, as uint8 arrays (height, width, 3)."""

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
_NEGATIVE, _POSITIVE = np.array([33, 102, 172]), np.array([178, 24, 43])


def grey(image: Tensor, window: tuple[float, float]) -> Pixels:
    """``image`` (rows, columns) with the window's low end black and its high end white."""
    low, high = window
    level = ((magnitude(image).double().numpy() - low) / (high - low)).clip(0, 1)
    return np.repeat((255 * level).round().astype(np.uint8)[..., None], 3, axis=2)


def signed(error: Tensor, window: tuple[float, float]) -> Pixels:
    """An error map: white is no error, red too bright and blue too dark, full colour at the window's ends."""
    level = error.double().numpy()[..., None] / window[1]
    strength = np.abs(level).clip(0, 1)
    colour = np.where(level > 0, _POSITIVE, _NEGATIVE)
    return (255 + strength * (colour - 255.0)).round().astype(np.uint8)


def strip(task: Task, truth: Tensor, x: Tensor) -> Pixels:
    """Truth, reconstruction and error map side by side, in the task's fixed windows."""
    error = magnitude(x) - magnitude(truth)
    panels = [grey(truth, task.display), grey(x, task.display), signed(error, task.error_display)]
    return np.concatenate(panels, axis=1)


def measurement(data: Tensor) -> Pixels:
    """The data of a task: a sinogram from 0 to its maximum, k-space as the logarithm of its modulus."""
    shown = magnitude(data)
    if data.is_complex():
        shown = (shown / shown.max() + 1e-4).log()
    return grey(shown, (float(shown.min()), float(shown.max())))


def save(pixels: Pixels, path: Path) -> str:
    """Write ``pixels`` as WebP and give the file's sha256. Lossy (quality 85): to look at, not to measure."""
    Image.fromarray(pixels).save(path, format="WEBP", quality=85, method=6)
    return sha256(path.read_bytes())
