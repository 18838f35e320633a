"""A method whose every call is looked at from beside it: what it gives, and what it leaves changed.

:func:`watched` gives a method that does the same and notes what it does against the contract. It is to run where the
method runs, whatever process that is: what crosses to a measurement has lost its device, and cannot tell who changed
what in place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon_bench.core import Method, Operator, Problem, Reconstructor

CHECKS = ("shape", "dtype", "device", "finite", "data untouched", "operator untouched", "global state")
Noted = dict[str, str]  # what was seen first against each of CHECKS


def _nothing(_: Any) -> None:
    """Nothing to be put back."""


GLOBAL: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {  # how it is read, how it is put back
    "the random numbers of torch": (lambda: torch.get_rng_state().numpy().tobytes(), _nothing),
    "the random numbers of numpy": (lambda: repr(np.random.get_state()), _nothing),
    "the random numbers of Python": (random.getstate, _nothing),
    "the default type of torch": (torch.get_default_dtype, torch.set_default_dtype),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "whether torch keeps gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the working directory": (os.getcwd, os.chdir),
}


def watched(method: Method, noted: Noted) -> Method:
    """``method`` as it is, but that ``noted`` holds afterwards which of CHECKS its calls broke, and what was seen."""

    def build(problem: Problem, settings: Any) -> Reconstructor:
        with _state_kept(noted):
            reconstruct = method.build(problem, settings)
        if not callable(reconstruct):
            return reconstruct  # which is refused where it was asked for

        def call(y: Tensor, A: Operator) -> Tensor:
            data, does = y.clone(), _behaviour(A)
            with _state_kept(noted):
                x = reconstruct(y, A)
            if not torch.equal(y, data):
                noted.setdefault("data untouched", "y was changed in place: work on y.clone()")
            if not all(torch.equal(*pair) for pair in zip(_behaviour(A), does)):
                noted.setdefault("operator untouched", "A gives something else after a call: do not change its tensors")
            _look_at(x, (len(y), *A.domain_shape), A, noted)
            return x

        return call

    return dataclasses.replace(method, build=build)


def _look_at(x: Any, expected: tuple[int, ...], A: Operator, noted: Noted) -> None:
    """What a reconstruction must be; the first that it is not makes the others meaningless."""
    if not isinstance(x, Tensor) or tuple(x.shape) != expected:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        noted.setdefault("shape", f"expected a tensor of shape (batch, *A.domain_shape) = {expected}, got {got}")
    elif x.dtype != A.dtype:
        noted.setdefault("dtype", f"expected images of A.dtype = {A.dtype}, got {x.dtype}: give back x.to(A.dtype)")
    elif x.device != A.device:
        noted.setdefault("device", f"expected images on {A.device}, where y is, got {x.device}")
    elif bad := int((~torch.isfinite(x)).sum()):
        noted.setdefault("finite", f"{bad} of {x.numel()} values are NaN or infinite")


def _behaviour(A: Operator) -> tuple[Tensor, Tensor]:
    """What A and its adjoint make of the same numbers."""
    generator = torch.Generator().manual_seed(0)
    shapes = (A.domain_shape, A.range_shape)
    x, y = (torch.randn(shape, generator=generator, dtype=A.dtype).to(A.device) for shape in shapes)
    with torch.no_grad():
        return A(x).clone(), A.adjoint(y).clone()


@contextlib.contextmanager
def _state_kept(noted: Noted) -> Iterator[None]:
    """Notes what is no longer as it was, and puts it back where later calls depend on it."""
    before = {what: read() for what, (read, _) in GLOBAL.items()}
    try:
        yield
    finally:
        for what, (read, put_back) in GLOBAL.items():
            if read() != before[what]:
                told = f"{what} changed: draw from a torch.Generator of your own, and leave settings alone"
                noted.setdefault("global state", told)
                put_back(before[what])
