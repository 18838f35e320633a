"""A method on images of the distribution of the test split that were never drawn before."""

from __future__ import annotations

import numpy as np

from recon_bench.core import Samples
from recon_bench.measurement import Cell
from recon_bench.scoring import quality
from recon_bench.scoring.host import host, reconstructed


def psnrs(cell: Cell, count: int, seed: int) -> list[float]:
    """PSNR in dB of ``count`` images; RuntimeError where one has no reconstruction."""
    method, seeds = host(cell), np.random.SeedSequence(seed).spawn(count)
    samples = Samples(count, lambda index: cell.task.observe_unseen(np.random.default_rng(seeds[index])))
    method.set_up(cell.settings, cell.rules.seeds[0])
    found = []
    for _, sample, made in reconstructed(method, samples, range(count), cell.rules):
        if made.x is None:
            raise RuntimeError(f"an unseen image has no reconstruction: {made.error}")
        found.append(quality.psnr(cell.task, sample.truth, made.x))
    return found
