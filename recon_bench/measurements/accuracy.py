"""Accuracy: how close the reconstructions of the test images are to the truth, image by image.

PSNR and SSIM use the task's one data range; complex images are compared by magnitude. The misfit |A x - y| / |y| stands
beside the value that the noise alone would give. For tasks made of volumes one more record per volume follows fastMRI's
evaluation: PSNR of the mean squared error over the volume, NMSE over the volume, mean SSIM of its slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from recon_bench.core import Operator, Sample
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import metrics
from recon_bench.scoring.answers import Reconstruction
from recon_bench.scoring.host import host, reconstructed
from recon_bench.task import Task


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record per test image and seed, then one per volume."""
    method, test = host(cell), cell.task.samples("test")
    count = min(cell.rules.images, len(test))
    for seed in cell.rules.seeds:
        method.set_up(cell.settings, seed)
        keys = {index: Record(sample=_name(index), seed=seed).key for index in range(count)}
        records = {index: done[key] for index, key in keys.items() if key in done}
        todo = [index for index in keys if index not in records]
        for index, sample, found in reconstructed(method, test, todo, cell.rules):
            records[index] = _score(cell.task, method.operator, _name(index), sample, found, seed)
            yield records[index]
        if count == len(test) and test[0].volume:  # part of a volume would not be the volume's figure
            yield from _volumes(cell.task, test, records, done, seed)


def _name(index: int) -> str:
    return f"test-{index:04d}"


def _score(task: Task, operator: Operator, name: str, sample: Sample, found: Reconstruction, seed: int) -> Record:
    if found.x is None:
        return Record(sample=name, seed=seed, error=found.error)
    x, truth = found.x[None], sample.truth[None]
    y = sample.data[None].to(operator.device)
    norm_y = torch.linalg.vector_norm(y)
    misfit = torch.linalg.vector_norm(operator(x.to(operator.device, operator.dtype)) - y) / norm_y
    image, target = metrics.magnitude(x), metrics.magnitude(truth)
    values = {
        "psnr": metrics.psnr(target, image, task.data_range),
        "ssim": metrics.ssim(target, image, task.data_range, task.ssim),
        "nrmse": metrics.nrmse(target, image),
        "rsnr": metrics.regressed_snr(target, image),
        "misfit": misfit,
    }
    if (noise := metrics.noise_norm(task.noise, y, len(operator.range_shape))) is not None:
        values["noise"] = noise / norm_y
    if sample.volume:
        values["nmse"] = metrics.nmse(target, image)
    return Record(sample=name, values=_finite(values), seed=seed, note=found.note)


def _finite(values: Mapping[str, Tensor]) -> dict[str, float]:
    """The values of one element as numbers, without those that the image does not define."""
    return {key: float(value) for key, value in values.items() if bool(torch.isfinite(value).all())}


def _volumes(
    task: Task, test: Sequence[Sample], records: Mapping[int, Record], done: Mapping[str, Record], seed: int
) -> Iterator[Record]:
    slices: dict[str, list[int]] = {}
    for index in records:
        if volume := test[index].volume:
            slices.setdefault(volume, []).append(index)
    for volume, indices in slices.items():
        record = Record(sample=f"volume:{volume}", seed=seed)
        if record.key in done:
            continue
        if any(records[i].error for i in indices):
            yield Record(sample=record.sample, seed=seed, error="a slice of the volume has no reconstruction")
            continue
        truths = torch.stack([metrics.magnitude(test[i].truth).double() for i in indices])
        of_slices = [[records[i].values[name] for i in indices] for name in ("psnr", "ssim")]
        psnr, ssim = torch.tensor(of_slices, dtype=torch.float64)
        mse = (task.data_range**2 * 10 ** (-psnr / 10)).mean()  # of an empty slice, too, which has no NMSE
        values = {
            "psnr_volume": metrics.decibels(truths.max().square(), mse),
            "nmse_volume": mse / truths.square().mean(),
            "ssim_volume": ssim.mean(),
        }
        note = None if bool(truths.any()) else "the volume is empty: PSNR and NMSE are not defined"
        yield Record(sample=record.sample, values=_finite(values), seed=seed, note=note)


MEASUREMENT = Measurement(
    name="accuracy",
    version=1,
    title="Accuracy on the test images",
    metrics=(
        Metric("psnr", "PSNR", "dB", "higher"),
        Metric("ssim", "SSIM", "", "higher", 3),
        Metric("nrmse", "NRMSE", "", "lower", 3),
        Metric("rsnr", "Regressed SNR", "dB", "higher"),
        Metric("misfit", "Data misfit", "", "lower", 4),
        Metric("noise", "Noise level", "", "lower", 4),
        Metric("nmse", "NMSE", "", "lower", 4),
        Metric("psnr_volume", "PSNR of the volume", "dB", "higher"),
        Metric("nmse_volume", "NMSE of the volume", "", "lower", 4),
        Metric("ssim_volume", "SSIM of the volume", "", "higher", 3),
    ),
    measure=measure,
    order=1,
    hidden=("nrmse", "rsnr", "nmse", "psnr_volume", "nmse_volume", "ssim_volume", "noise"),
)
