"""Perturbations that somebody submits: files that are tried beside our own attack and can only lower a score.

``attacks/<task>/<method>/<any name>.npz`` holds an array for each test image it is about, by the image's name
(``test-0000``), in the shape and type of its data. It may be no larger than the largest level, relative to |y|; at a
smaller level it is scaled down. ``recon-bench attack`` says what a file does before it is put there; ``recon-bench
check`` finds those that cannot be used, of which a result says so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon_bench import storage
from recon_bench.core import Sample
from recon_bench.data import reading
from recon_bench.rules import COUNTED, UNUSED
from recon_bench.task import DataError, Task

LARGEST = 0.08  # relative to |y|
ROUNDING = 1e-5
EXPECTED = "arrays as numpy.savez writes them, by names of test images such as test-0000"
ADVICE = "Write it by numpy.savez(path, **{'test-0000': array, ...}); docs/submitting.md says what goes in."


class PerturbationError(ValueError):
    """A file that cannot be used; the text says what was expected and what came."""


def perturbations(task: Task, method: str, name: str) -> tuple[list[Tensor], list[str]]:
    """What was submitted against a method on the test image called ``name``, each (*range_shape), and what a record
    says: which files these are of, and what is wrong with those that cannot be used."""
    found, said = list[Tensor](), list[str]()
    for path in files(task.name, method):
        try:
            if (each := read(path, task).get(name)) is not None:
                found.append(each)
                said.append(f"{COUNTED}{storage.sha256(path.read_bytes())}")
        except PerturbationError as error:
            said.append(f"{UNUSED}{str(error).replace(f'{path.parent}/', '')}")
    return found, said


def files(task: str = "*", method: str = "*") -> list[Path]:
    """Those that were submitted, against a method on a task or against any."""
    return sorted(storage.ATTACKS.glob(f"{task}/{method}/*.npz"))


def read(path: Path, task: Task) -> dict[str, Tensor]:
    """The perturbations of a file by test image; PerturbationError where it cannot be used."""
    known = {f"test-{index:04d}": index for index in range(task.sizes["test"])}
    try:
        arrays = reading.stored(path, EXPECTED, ADVICE)
    except DataError as error:
        raise PerturbationError(str(error)) from error
    if not isinstance(arrays, dict):
        raise PerturbationError(f"{path}: expected {EXPECTED}, but it holds a single array without a name. {ADVICE}")
    if not arrays:
        raise PerturbationError(f"{path}: expected an array for each test image it is about, found none. {ADVICE}")
    if unknown := sorted(arrays.keys() - known.keys()):
        raise PerturbationError(f"{path}: expected names of test images such as test-0000, found {unknown[0]!r}")
    return {name: _checked(array, task.observe("test", known[name]), path) for name, array in arrays.items()}


def _checked(array: np.ndarray, sample: Sample, path: Path) -> Tensor:
    y, where = sample.data, f"{path}, {sample.id}"
    expected = f"{tuple(y.shape)} of {str(y.dtype).removeprefix('torch.')}"
    if array.shape != tuple(y.shape) or str(array.dtype) != str(y.dtype).removeprefix("torch."):
        raise PerturbationError(f"{where}: expected {expected}, found {array.shape} of {array.dtype}")
    if not np.isfinite(array).all():
        raise PerturbationError(f"{where}: expected finite values, found NaN or infinite ones")
    size = float(np.linalg.norm(array)) / float(torch.linalg.vector_norm(y))
    if size > LARGEST * (1 + ROUNDING):
        raise PerturbationError(f"{where}: expected a norm of at most {LARGEST:g} |y|, found {size:.4g} |y|")
    return torch.from_numpy(array)
