"""Corruptions: the error of reconstructions from data that went wrong as scanners know it, beside that of FBP.

Kinds and severities are those of ``data/corruptions.py``; the same corrupted data go to the method, which is not told,
and to FBP with its default settings (MRI: zero-filling). The summary is how much of FBP's error the method has, over
all kinds and severities, and how many times as much its own error grows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from recon_bench import registry
from recon_bench.core import NotApplicable, Sample
from recon_bench.data.corruptions import KINDS, SEVERITIES, corrupt, kinds
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import pictures, quality
from recon_bench.scoring.answers import Reconstruction
from recon_bench.scoring.attack import Objective
from recon_bench.scoring.host import Host, host


@dataclass(frozen=True)
class Protocol:
    """``images``: test images at most; ``kinds``, by whose places in this list records say which they are about."""

    images: int = 10
    severities: tuple[int, ...] = SEVERITIES
    kinds: tuple[str, ...] = tuple(KINDS)
    seed: int = 5


PROTOCOL = Protocol()


def points(cell: Cell) -> Sequence[Mapping[str, float]]:
    """One for each image."""
    count = min(PROTOCOL.images, cell.rules.images, cell.task.sizes["test"])
    return [{"image": float(index)} for index in range(count)]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """For each image: a record for each kind and severity, and a scalar one where there is a reconstruction of all.

    NotApplicable where the method cannot run.
    """
    method = host(cell)
    method.set_up(cell.settings, cell.rules.seeds[0])
    reference = _reference(method)
    for at in [cell.at] if cell.at else points(cell):
        index = int(at["image"])
        found = list(of_image(cell, method, reference, index))
        whole = _summary([record for record in found if not record.error])
        if whole and not any(record.error for record in found):
            found.append(Record(pictures.name(index), whole, {}, cell.rules.seeds[0]))
        yield from (record for record in found if record.key not in done)


def _reference(method: Host) -> Host | None:
    """FBP or zero-filling on the same problem, where it can run."""
    found = registry.method("zero-filled" if method.problem.complex else "fbp")
    other = Host(found, method.problem)
    try:
        other.set_up(found.settings)
    except NotApplicable:
        return None
    return other


def of_image(cell: Cell, method: Host, reference: Host | None, index: int) -> Iterator[Record]:
    """One record for each kind and severity, of which there is a severity of 0, the data as they are."""
    sample = cell.task.samples("test")[index]
    places = [(0, 0, sample.data)]
    for kind in kinds(method.operator):
        number = PROTOCOL.kinds.index(kind)
        for severity in PROTOCOL.severities:
            seed = 10_000 * PROTOCOL.seed + 100 * index + number
            places.append((number, severity, corrupt(kind, sample, method.operator, cell.task.noise, severity, seed)))
    blank = Record(pictures.name(index), seed=cell.rules.seeds[0])
    for number, severity, y in places:
        at = {"corruption": float(number), "severity": float(severity)}
        (found,) = method.reconstruct(y[None])
        record = dataclasses.replace(blank, at=at, error=found.error, note=found.note)
        values = _values(cell, sample, found)
        if values and reference is not None:
            values |= {
                f"reference_{name}": value
                for name, value in _values(cell, sample, *reference.reconstruct(y[None])).items()
            }
        yield dataclasses.replace(record, values=values)


def _values(cell: Cell, sample: Sample, found: Reconstruction) -> dict[str, float]:
    if found.x is None:
        return {}
    values = {
        "error": float(Objective(sample.truth[None]).errors(found.x[None])),
        "psnr": quality.psnr(cell.task, sample.truth, found.x),
    }
    return quality.finite(values)


def _summary(records: list[Record]) -> dict[str, float]:
    """Of the records of an image; nothing without a reference."""
    clean = next((record.values for record in records if not record.at["severity"]), {})
    rest = [record.values for record in records if record.at["severity"]]
    if not rest or "reference_error" not in clean:
        return {}
    own, other = (math.fsum(values[name] for values in rest) / len(rest) for name in ("error", "reference_error"))
    found = {"corrupted": own, "of_reference": own / other}
    if (grown := other - clean["reference_error"]) > 0:
        found["growth"] = (own - clean["error"]) / grown
    return found


MEASUREMENT = Measurement(
    name="corruptions",
    version=1,
    title="Corrupted data",
    metrics=(
        Metric("corrupted", "Error on corrupted data", "", "lower", 3),
        Metric("of_reference", "Error on corrupted data, of that of FBP (MRI: zero-filling)", "×", "lower"),
        Metric("growth", "Growth of the error, of that of FBP (MRI: zero-filling)", "×", "lower"),
        Metric("error", "Relative error", "", "lower", 4),
        Metric("psnr", "PSNR", "dB", "higher"),
        Metric("reference_error", "Relative error of FBP (MRI: zero-filling)", "", "lower", 4),
        Metric("reference_psnr", "PSNR of FBP (MRI: zero-filling)", "dB", "higher"),
    ),
    measure=measure,
    protocol=PROTOCOL,
    points=points,
    hidden=("of_reference", "growth"),
    confirm="accuracy",
)
