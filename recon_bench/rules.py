"""The rules: everything about a run that is the same for every method. Data, with a version; no torch.

A change of any field is a change of the hash, and results of two hashes never share a ranking.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache

from recon_bench.storage import digest

LEAST_GAP = 0.5  # dB: of a smaller gap it is not told what share is closed
LATE = "out of time"  # what a record says of a search that the clock ended
UNSWAPPED = "set up for the task's own data: "  # how a record begins to say why there is no image of a swapped operator
BROKEN = "a submitted perturbation has no reconstruction"
UNUSED = "left out: "  # how a record begins to speak of a submitted file that could not be used
COUNTED = "counts "  # how it begins to name one that was tried, by the sha256 of the file
EXACT = 200.0  # dB: the PSNR of an image without any error; one that errs in the last bit of float32 alone has 150


@dataclass(frozen=True)
class Rules:
    """One protocol.

    ``images``: test images scored per task, at most; ``tuning_evaluations`` settings may be tried by each method,
    each on the first ``tuning_images`` of the validation split; ``seeds`` for methods that draw random numbers;
    ``warmup`` and ``repeats`` of a timed reconstruction at batch 1, of which fewer are made where they would take more
    than ``timing_seconds``; ``batch_pixels`` bounds the batch that is reconstructed at once (pixels of all its images);
    ``cell_minutes`` is the time after which a cell is stopped from outside, what it finished being kept; ``bootstrap``
    draws of the interval at ``confidence``.
    """

    name: str
    version: int
    images: int
    tuning_evaluations: int
    tuning_images: int
    seeds: tuple[int, ...] = (0,)
    warmup: int = 1
    repeats: int = 7
    timing_seconds: float = 30.0
    batch_pixels: int = 8 * 512 * 512
    cell_minutes: float = 20.0
    bootstrap: int = 2000
    confidence: float = 0.95

    @property
    def hash(self) -> str:
        """16 hex digits of all fields; results of two hashes never share a ranking."""
        return _hash(self)

    def batch(self, pixels: int) -> int:
        """How many images of ``pixels`` pixels are reconstructed at once: at least 1, at most 16."""
        return max(1, min(16, self.batch_pixels // pixels))


@cache
def _hash(rules: Rules) -> str:
    return digest(dataclasses.asdict(rules))


FULL = Rules(name="full", version=1, images=100, tuning_evaluations=12, tuning_images=4)
QUICK = Rules(name="quick", version=1, images=2, tuning_evaluations=0, tuning_images=0, repeats=3, cell_minutes=1.0)
RULES = {rules.name: rules for rules in (FULL, QUICK)}
