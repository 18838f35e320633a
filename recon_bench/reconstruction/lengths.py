"""Whether the lengths of a scan with rays fit each other, which they do not where one is in another unit."""

from __future__ import annotations

import math
from collections.abc import Iterator

from recon_bench.operators import FanBeam, ParallelBeam

FACTOR = 20.0  # between what the detector sees and the image; metres taken for millimetres make it 1000
OPENING = 1e-3  # radians: a fan that opens by less is a parallel beam
UNITS = "pixel, spacing, shift, source and detector are in one unit (all in millimetres, or all in metres)"


def notes(geometry: ParallelBeam | FanBeam) -> Iterator[str]:
    """What is odd but may be right; ValueError, with what was computed and what to check, for what cannot be right."""
    fan = isinstance(geometry, FanBeam)
    closer = geometry.source / (geometry.source + geometry.detector) if isinstance(geometry, FanBeam) else 1.0
    field, shift = geometry.bins * geometry.spacing * closer, abs(geometry.shift) * closer
    image = geometry.size * geometry.pixel
    seen = f"the {geometry.bins} bins see {field:.4g} across{' at the axis' * fan}"
    wide = f"the image of {geometry.size} pixels is {image:.4g} wide"
    if not 1 / FACTOR <= field / image <= FACTOR:
        times, than = (field / image, "wider") if field > image else (image / field, "narrower")
        raise ValueError(f"{seen}, {times:.4g} times {than}: {wide}. Check that {UNITS}, and the number of pixels")
    if shift > field / 2 + image / math.sqrt(2):
        raise ValueError(f"no ray meets the image: {seen}, {shift:.4g} beside it, and {wide}. Check shift or axis")
    if isinstance(geometry, FanBeam) and (opening := field / geometry.source) < OPENING:
        narrow = f"the fan opens by {math.degrees(opening):.2g} degrees only: {seen}"
        yield f"{narrow}, the source is {geometry.source:.4g} away. Check that {UNITS}, or take a parallel-beam"
