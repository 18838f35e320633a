"""A shifted task to test with: the detector has moved by two bins, which methods are not told."""

import dataclasses

from recon_bench.data.simulation import count_photons, project
from recon_bench.storage import digest
from recon_bench.tasks import ct_head

BASE = next(task for task in ct_head.TASKS if task.name == "ct-head-50")
SHIFT = 2 * ct_head.PIXEL


def measure(truth, rng):
    """As the task does, on a detector that has moved."""
    (fine,) = BASE.measure.args
    return count_photons(project(truth.image, dataclasses.replace(fine, shift=SHIFT)), ct_head.NOISE.level, rng)


CARD = {**BASE.card, "shift": "the detector has moved by 2 bins; the operator that methods are told has not"}
TASKS = (
    dataclasses.replace(
        BASE, name="ct-head-50-shifted", measure=measure, card=CARD, fingerprint=lambda: digest([BASE.hash, SHIFT])
    ),
)
