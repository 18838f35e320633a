"""Looks for the truth in the frames of its callers and in all objects of its process."""

import gc
import sys

from recon_bench.core import Sample
from tests.attacks.making import honest, method


def reconstruct(y, A):
    frame, seen = sys._getframe(), []
    while frame:
        seen += frame.f_locals.values()
        frame = frame.f_back
    seen += gc.get_objects()
    found = [each for each in seen if isinstance(each, Sample) and each.data.equal(y[0])]
    return found[0].truth[None] if found and len(y) == 1 else honest(y, A)


METHODS = (method("truth-from-frames", reconstruct),)
ROW = ("ok", "", "")
