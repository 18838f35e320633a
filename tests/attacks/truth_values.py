"""Gives images of another type."""

import torch

from tests.attacks.making import honest, method


def reconstruct(y, A):
    return honest(y, A).to(torch.bool)


METHODS = (method("truth-values", reconstruct),)
ROW = ("failed", "the reconstruction should be of type float32, got bool", "")
