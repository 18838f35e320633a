"""Wants more memory than it may have, though the machine would give it."""

import torch

from tests.attacks.making import honest, method


def reconstruct(y, A):
    torch.empty(2**30)  # 4 GiB, which no machine refuses by itself
    return honest(y, A)


METHODS = (method("takes-all-memory", reconstruct),)
ROW = ("failed", "out of memory on cpu", "")
