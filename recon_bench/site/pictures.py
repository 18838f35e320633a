"""Pictures that the site makes of stored grey panels: error maps and zooms, at the fixed windows of the task.

Panels are kept with 8 bits and loss, so these are to look at; numbers come from the results.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from recon_bench.storage import digest, sha256

SUFFIXES = (".webp", ".png")
VERSION = 1  # of how pictures are made: part of their names, so that a new way makes them anew
ZOOM = 4  # a zoom is a square of this part of the shorter side
EDGE = 32.0  # grey levels: a stronger step counts as this, or the rim of a skull would be all there is to see
NEGATIVE, POSITIVE = np.array([33, 102, 172]), np.array([178, 24, 43])

Window = tuple[float, float]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Panel:
    """A stored grey picture: its file, its sha256 and its (width, height)."""

    path: Path
    seal: str
    size: tuple[int, int]


def panel(folder: Path, image: Any) -> Panel | None:
    """The picture that a card or result names, or None where its file is not what it must be."""
    path = folder / image["file"]
    if path.parent != folder or path.suffix not in SUFFIXES or not path.is_file():
        return None
    content = path.read_bytes()
    if sha256(content) != image["sha256"]:
        return None
    try:
        with Image.open(io.BytesIO(content)) as opened:
            return Panel(path, image["sha256"], opened.size)
    except OSError:
        return None


def grey(shown: Panel) -> npt.NDArray[np.float64]:
    """Grey levels (rows, columns) from 0 to 255."""
    with Image.open(shown.path) as opened:
        return np.asarray(opened.convert("L"), dtype=np.float64)


def error_map(truth: Panel, x: Panel, display: Window, error_display: Window) -> bytes:
    """``x`` minus ``truth``: white is no error, red too bright and blue too dark, full colour at the window's ends."""
    step = (display[1] - display[0]) / 255
    level = ((grey(x) - grey(truth)) * (step / error_display[1])).clip(-1, 1)
    palette = np.linspace(-1, 1, 255)[:, None]
    colours = 255 + np.abs(palette) * (np.where(palette > 0, POSITIVE, NEGATIVE) - 255.0)
    pixels = colours.round().astype(np.uint8)[(127 * (level + 1)).round().astype(np.uint8)]
    return _encoded(Image.fromarray(pixels), format="WEBP", quality=80, method=0)  # the fastest of small ones


def crop(shown: Panel, box: Box) -> bytes:
    """The part of a picture inside (left, top, right, bottom), as it is."""
    with Image.open(shown.path) as opened:
        return _encoded(opened.convert("L").crop(box), format="PNG")


def detail(truth: Panel) -> Box:
    """The square of a picture with the most edges: where reconstructions are looked at closely."""
    image = grey(truth)
    edges = sum(np.abs(np.diff(image, axis=axis, append=image.take([-1], axis))).clip(max=EDGE) for axis in (0, 1))
    total = np.pad(np.cumsum(np.cumsum(edges, axis=0), axis=1), ((1, 0), (1, 0)))
    side = max(1, min(image.shape) // ZOOM)
    inside = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    top, left = (int(i) for i in np.unravel_index(int(inside.argmax()), inside.shape))
    return left, top, left + side, top + side


def name(kind: str, suffix: str, *parts: Any) -> str:
    """Name of a file made of ``parts``: the same content has the same name, which a later rendering knows again."""
    return f"{kind}-{digest([VERSION, kind, *parts])}{suffix}"


def _encoded(image: Image.Image, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **how)
    return buffer.getvalue()
