"""Gives images of another type."""

import torch

from tests.attacks.making import honest, method


def reconstruct(y, A):
    return honest(y, A).to(torch.complex64)


METHODS = (method("complex-numbers", reconstruct),)
ROW = ("failed", "the reconstruction should be of type float32, got complex64", "")
