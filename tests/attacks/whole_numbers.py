"""Gives images of another type."""

import torch

from tests.attacks.making import honest, method


def reconstruct(y, A):
    return honest(y, A).to(torch.int32)


METHODS = (method("whole-numbers", reconstruct),)
ROW = ("failed", "the reconstruction should be of type float32, got int32", "")
