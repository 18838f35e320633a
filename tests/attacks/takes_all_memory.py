"""Wants more memory than it may have."""

import torch

from tests.attacks.making import honest, method


def reconstruct(y, A):
    torch.empty(2**40)
    return honest(y, A)


METHODS = (method("takes-all-memory", reconstruct),)
ROW = ("failed", "out of memory on cpu", "")
