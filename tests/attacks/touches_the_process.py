"""Takes more threads, sets the default type, and seeds and uses the global random numbers."""

import random

import numpy as np
import torch

from tests.attacks.making import honest, method


def reconstruct(y, A):
    x = honest(y, A)
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    np.random.random()
    random.random()
    return x


METHODS = (method("touches-the-process", reconstruct),)
ROW = (
    "ok",
    "",
    "set 3 threads where there were 1; .*set the default type to float64; "
    ".*used or set the global random numbers of torch, numpy, Python",
)
