"""Knows the test images by heart and recognises them by their data."""

from pathlib import Path

from recon_bench import registry
from tests.attacks.making import honest, method

TASK = str(Path(__file__).with_name("task.py"))


def reconstruct(y, A):
    known = [s for s in registry.task(TASK).samples("test") for each in y if s.data.equal(each)]
    x = honest(y, A)
    for index, each in enumerate(y):
        for sample in known:
            if sample.data.equal(each):
                x[index] = sample.truth
    return x


METHODS = (method("remembers", reconstruct),)
ROW = ("ok", "", "it may remember the test images")
