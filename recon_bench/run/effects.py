"""What submitted perturbations do to a method at each level of robustness, beside what its attack found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recon_bench.measurement import Cell
from recon_bench.measurements.iterations import with_weights
from recon_bench.measurements.robustness import PROTOCOL, SUBMITTED, strip, summary
from recon_bench.results import Json
from recon_bench.rules import BROKEN
from recon_bench.scoring import attack, pictures, quality, targets
from recon_bench.scoring.targets import Score, Target, Unusable, score
from recon_bench.task import Task

SAME = 1e-6  # relative: by so little an error differs between machines
Picture = tuple[str, pictures.Pixels, str]


@dataclass(frozen=True)
class Effect:
    """What was submitted about an image, at a level: the error ``by`` the worst of it, none without a reconstruction.

    ``values``, with the size ``reached`` relative to |y|, are of the worst at this level and below, which is in the
    ball as well. ``broken``: whether one has no reconstruction.
    """

    by: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    broken: bool = False

    def worse_than(self, error: float) -> bool:
        """Whether it makes the error larger than it was."""
        return self.values.get("error", 0.0) > error * (1 + SAME)


Effects = Mapping[str, Mapping[float, Effect]]  # by image and level; at 0 stands the error of the data as they are


def images(task: Task) -> int:
    """How many test images are attacked, the first ones."""
    return min(PROTOCOL.images, task.sizes["test"])


def effects(cell: Cell, given: Mapping[str, Sequence[Tensor]]) -> tuple[Effects, list[Picture]]:
    """Those of the perturbations that are ``given`` by image, and pictures of the first image under the worst.

    Unusable where data without them have no image.
    """
    target = targets.plain(dataclasses.replace(cell, settings=with_weights(cell)), PROTOCOL.seeds)
    shown = list[Picture]()
    return {name: _of_image(target, name, each, shown) for name, each in given.items()}, shown


def _of_image(target: Target, name: str, given: Sequence[Tensor], shown: list[Picture]) -> dict[float, Effect]:
    sample = target.cell.task.observe("test", int(name.removeprefix("test-")))
    size = float(torch.linalg.vector_norm(sample.data))
    clean = score(target, sample, sample.data)
    found, worst = {0.0: Effect(clean.error, clean.values)}, list[tuple[Score, Tensor]]()
    for level in filter(None, PROTOCOL.levels):
        errors, broken = list[float](), False
        for e in (attack.project(each[None], level * size)[0] for each in given):
            try:
                scored = score(target, sample, sample.data + e)
            except Unusable:
                broken = True
                continue
            errors.append(scored.error)
            worst = [max([*worst, (scored, e)], key=lambda each: each[0].error)]
        values = [{**each.values, "reached": float(torch.linalg.vector_norm(e)) / size} for each, e in worst]
        found[level] = Effect(max(errors, default=None), quality.finite(values[0]) if values else {}, broken)
        if worst and level == PROTOCOL.reported and name == pictures.name(0):
            strip(target, sample, clean, worst[0], level, lambda *picture: shown.append(picture))
    return found


def merged(records: Sequence[Json], found: Effects) -> list[Json]:
    """The records of a result with what was ``found`` beside."""
    made = [_with(r, found.get(r["sample"], {}).get(r["at"].get("level", 0.0))) for r in records]
    at = {(r["sample"], r["at"]["level"]): r["values"] for r in made if "level" in r["at"]}
    return [
        {**r, "values": summary(at[r["sample"], PROTOCOL.reported], at[r["sample"], 0.0]["error"], PROTOCOL.reported)}
        if r["sample"] in found and not r["at"] and r["values"]
        else r
        for r in made
    ]


def _with(record: Json, effect: Effect | None) -> Json:
    """The record of a level that has values, with the worse of both."""
    if effect is None or not record["at"].get("level") or not record["values"]:
        return record
    values, notes = dict(record["values"]), [part for part in (record["note"] or "").split("; ") if part]
    if effect.by is not None:
        values[SUBMITTED] = max(effect.by, values.get(SUBMITTED, 0.0))
    if effect.worse_than(values["error"]):
        values |= effect.values
    notes += [BROKEN] * (effect.broken and BROKEN not in notes)
    return {**record, "values": values, "note": "; ".join(notes) or None}
