"""The small task that attacks are measured on: discs on 32 x 32 pixels, as many as are wanted."""

import dataclasses

from recon_bench.task import Truth
from tests.helpers_training import TOY, fresh


def unseen(rng):
    truth, data = fresh(rng, 1)
    return Truth(truth[0].numpy(), source=data[0].numpy())


TASKS = (dataclasses.replace(TOY, name="discs", unseen=unseen),)
