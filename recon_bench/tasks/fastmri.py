"""fastMRI single-coil knee, 4x, emulated on the cropped image (doi:10.1148/ryai.2020190007).

The truth is the complex 320 x 320 image: centred IFFT of the fully sampled single-coil k-space, cropped. The data are
its own masked Fourier transform, not the scanner's 368 or 372 columns, so that every slice has one operator; the
numbers therefore stand beside, not in, the owners' leaderboard.

Test and validation volumes are the lists that Pineda et al. (doi:10.1007/978-3-030-59713-9_3) drew from the owners'
validation folder, so that scoring and tuning need that folder only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recon_bench.core import Noise
from recon_bench.data import fastmri
from recon_bench.data.reading import DataError, existing, folder_from
from recon_bench.operators import MaskedFourier
from recon_bench.storage import digest
from recon_bench.task import Task, Truth
from recon_bench.tasks.mri_brain import random_columns

VARIABLE = "RECON_BENCH_FASTMRI"
SIZE = (320, 320)
SLICES = 16
TRAIN_VOLUMES = 973
FOLDERS = {"train": "singlecoil_train", "validation": "singlecoil_val", "test": "singlecoil_val"}
_VALIDATION = """
1002340 1000182 1001655 1000972 1001338 1000476 1002252 1000591 1000858 1001202 1002159 1001163 1001497
1000196 1001331 1000477 1001651 1000464 1000625 1000033 1000041 1000000 1000389 1001668 1002451 1000990
1001077 1002389 1001298 1002570 1001834 1001955 1001715 1001444 1002214 1002187 1001170 1000926 1000818
1000702 1001289 1000528 1000759 1001862 1001339 1001090 1002067 1001221
"""
_TEST = """
1001126 1001930 1002436 1002382 1001585 1001506 1001057 1002021 1000831 1001344 1000007 1001938 1001381
1001365 1001458 1001726 1000280 1002145 1001759 1000976 1001064 1000108 1000291 1001689 1001191 1000903
1001440 1001184 1001119 1002351 1001643 1001893 1001968 1001566 1001850 1000660 1000593 1001763 1002546
1000697 1000190 1000273 1001144 1000538 1000635 1000769 1001262 1001851 1000942
"""
VOLUMES = {"validation": _VALIDATION.split(), "test": _TEST.split()}
COLUMNS = random_columns(SIZE[1], acceleration=4, centre=0.08, seed=5)  # a seed that keeps 80 of 320, exactly

_CARD = {
    "images": "fastMRI knee, single coil, to be had from its owners under their terms: complex image, the centred IFFT "
    "of the fully sampled k-space, cropped to 320 x 320 and divided by the largest magnitude of its volume",
    "splits": "training: all of singlecoil_train, sorted by name; validation and test: the volumes of singlecoil_val "
    "named here, lists of Pineda et al. 2020, doi:10.1007/978-3-030-59713-9_3",
    "volumes": VOLUMES,
    "slices": f"the middle {SLICES} of each volume; sample i is of volume i % volumes, going outwards from the middle",
    "operator": {"centred orthonormal FFT of": list(SIZE), "kept columns": list(COLUMNS)},
    "simulation": "cropped single-coil emulation: data are the FFT of the truth at the kept columns, not the scanner's "
    "own 368 or so columns; numbers do not compare with the owners' leaderboard",
    "noise": "none is added; that of the scan is in the truth",
    "inverse_crime": True,
    "reference": "Knoll, Zbontar, Sriram et al. 2020, doi:10.1148/ryai.2020190007",
}


def draw(split: str, index: int) -> Truth:
    """Complex image (320, 320) of magnitude up to 1, complex64."""
    count = TRAIN_VOLUMES if split == "train" else len(VOLUMES[split])
    step, volume = divmod(index, count)
    scan = fastmri.open_scan(_path(split, volume))
    if scan.multicoil or scan.shape[0] < SLICES or not scan.maximum:
        raise DataError(
            f"{scan.path}: expected single-coil kspace of at least {SLICES} slices and a positive attribute max, "
            f"but kspace has shape {scan.shape} and max is {scan.maximum}. {advice()}"
        )
    middle = scan.shape[0] // 2
    slice_index = middle + (step // 2 if step % 2 == 0 else -(step + 1) // 2)
    truth = fastmri.image(fastmri.read_kspace(scan, slice_index), SIZE) / np.float32(scan.maximum)
    return Truth(truth, volume=scan.path.stem)


def measure(truth: Truth, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Its k-space at the kept columns (320, len(COLUMNS)), complex64, as it was measured: no noise is added."""
    return MaskedFourier(SIZE, COLUMNS)(torch.from_numpy(truth.image)).numpy()


def advice() -> str:
    """What to download, where to put it and which variable to set."""
    return (
        "The task needs fastMRI's knee_singlecoil_val (and knee_singlecoil_train for methods that learn). "
        f"{fastmri.ADVICE} Then set {VARIABLE} to the folder that holds singlecoil_val (and singlecoil_train)."
    )


def missing() -> str | None:
    """Why the task cannot run, or None. The training folder is asked for only when a method reads it."""
    try:
        absent = [p for split in VOLUMES for i in range(len(VOLUMES[split])) if not (p := _path(split, i)).is_file()]
    except DataError as error:
        return str(error)
    if absent:
        return f"{absent[0].parent}: {len(absent)} volumes are missing, e.g. {absent[0].name}. {advice()}"
    return None


def _path(split: str, volume: int) -> Path:
    folder = existing(folder_from(VARIABLE, advice()) / FOLDERS[split], "folder", advice())
    if split in VOLUMES:
        return folder / f"file{VOLUMES[split][volume]}.h5"
    paths = sorted(folder.glob("*.h5"))
    if len(paths) != TRAIN_VOLUMES:
        raise DataError(f"{folder}: expected {TRAIN_VOLUMES} volumes (*.h5), but there are {len(paths)}. {advice()}")
    return paths[volume]


TASKS = (
    Task(
        name="fastmri",
        version=1,
        family="mri",
        title="fastMRI knee, single coil, 4x",
        description="Knees of real patients, complex-valued, random columns with 8 % centre; to be downloaded.",
        make_operator=lambda device, dtype: MaskedFourier(SIZE, COLUMNS, device, dtype),
        draw=draw,
        measure=measure,
        seed=0,
        sizes={"train": TRAIN_VOLUMES * SLICES} | {split: len(names) * SLICES for split, names in VOLUMES.items()},
        noise=Noise("none"),
        data_range=1.0,
        card=_CARD,
        fingerprint=lambda: digest(_CARD),
        display=(0.0, 0.7),
        error_display=(-0.1, 0.1),
        missing=missing,
    ),
)
