"""Transfer: the test that a task's own images cannot be, with truths of other people, body parts and phantoms.

Each is measured exactly as the task measures its own, with the noise that follows from its name, and reconstructed with
the weights and settings of the task. PSNR and SSIM are in the task's data range and by magnitude, so that they compare
with accuracy. Data sets that have to be downloaded are metrics of their own, so that a board compares the same images
whoever measures; where they are not there, a record without values says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from recon_bench.core import NotApplicable, Sample, Samples
from recon_bench.data import foreign
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import metrics, pictures, quality
from recon_bench.scoring.answers import Reconstruction
from recon_bench.scoring.host import Host, host, reconstructed
from recon_bench.task import Foreign, Task

PICTURE = "foreign"  # of the first image of the first group, beside the truth on the task's card


@dataclass(frozen=True)
class Protocol:
    """``scans``: digest of the files that come with the project; ``spread``: images of a group that has many."""

    scans: str
    spread: int = foreign.SPREAD


PROTOCOL = Protocol(foreign.files_hash())


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record for each image of each group and each seed, of as many as the rules score; NotApplicable without any.

    A group that is not there is one record with a note.
    """
    if not cell.task.foreign:
        raise NotApplicable("the task has no images of another origin")
    method = host(cell)
    for seed in cell.rules.seeds:
        method.set_up(cell.settings, seed)
        for group in cell.task.foreign:
            if absent := group.missing():
                record = Record(sample=group.name, seed=seed, note=f"not measured: {absent}")
                yield from [record] if record.key not in done else []
            else:
                yield from _of_group(cell, method, group, seed, done, save)


def _of_group(
    cell: Cell, method: Host, group: Foreign, seed: int, done: Mapping[str, Record], save: SavePicture
) -> Iterator[Record]:
    samples = Samples(group.count, partial(cell.task.observe_foreign, group))
    count = min(group.count, cell.rules.images)
    todo = [i for i in range(count) if Record(sample=group.name_of(i), seed=seed).key not in done]
    for index, sample, found in reconstructed(method, samples, todo, cell.rules):
        record = _score(cell.task, group, sample, found, seed)
        if found.x is not None and (group, index, seed) == (cell.task.foreign[0], 0, cell.rules.seeds[0]):
            save(PICTURE, pictures.grey(found.x, cell.task.display), _caption(record))
        yield record


def _score(task: Task, group: Foreign, sample: Sample, found: Reconstruction, seed: int) -> Record:
    if found.x is None:
        return Record(sample=sample.id, seed=seed, error=found.error)
    truth, x = metrics.magnitude(sample.truth[None]), metrics.magnitude(found.x[None])
    kind = "downloaded" if group.downloaded else "foreign"
    values = {
        f"{kind}_psnr": quality.psnr(task, sample.truth, found.x),
        f"{kind}_ssim": float(metrics.ssim(truth, x, task.data_range, task.ssim)),
    }
    return Record(sample=sample.id, values=quality.finite(values), seed=seed, note=found.note)


def _caption(record: Record) -> str:
    return ", ".join([record.sample, *(f"{v:.2f} dB" for k, v in record.values.items() if k.endswith("psnr"))])


MEASUREMENT = Measurement(
    name="transfer",
    version=1,
    title="Other people's scans",
    metrics=(
        Metric("foreign_psnr", "PSNR on foreign images", "dB", "higher"),
        Metric("foreign_ssim", "SSIM on foreign images", "", "higher", 3),
        Metric("downloaded_psnr", "PSNR on downloaded images", "dB", "higher"),
        Metric("downloaded_ssim", "SSIM on downloaded images", "", "higher", 3),
    ),
    measure=measure,
    protocol=PROTOCOL,
    hidden=("foreign_ssim", "downloaded_psnr", "downloaded_ssim"),
)
