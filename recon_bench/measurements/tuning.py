"""Tuning: the settings a method may choose, tried on the validation split within the budget; the ledger of all tries.

A record is one evaluation: ``at`` holds the values tried (a choice by its index), ``psnr`` the mean over the validation
images. The result's header holds the chosen settings. Nothing of the test split is touched.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from recon_bench.core import Cell, Measurement, Method, Metric, Problem, Record, Sample, SavePicture
from recon_bench.scoring import metrics, pictures, tuner
from recon_bench.scoring.reconstruct import reconstruct_each, seeded

TIE = 0.005  # dB: half the last digit shown; rounding must not choose twenty iterations where one does


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record per evaluation, as many as the rules allow."""
    problem = cell.task.problem(cell.device)
    count = min(cell.rules.tuning_images, len(problem.validation))
    samples = [problem.validation[index] for index in range(count)]
    space = cell.method.search
    points = tuner.search(space, {name: getattr(cell.settings, name) for name in space}, cell.rules.tuning_evaluations)
    point = next(points, None)
    while point is not None:
        key = Record(sample="validation", at=point).key
        record = done.get(key) or _evaluate(cell, problem, samples, point)
        if key not in done:
            yield record
        try:
            point = points.send(record.values.get("psnr", -math.inf))
        except StopIteration:
            return


def _evaluate(cell: Cell, problem: Problem, samples: list[Sample], point: tuner.Point) -> Record:
    changes = tuner.value(cell.method.search, point)
    settings = seeded(dataclasses.replace(cell.settings, **changes), cell.rules.seeds[0])
    reconstruct = cell.method.build(problem, settings)
    size = cell.rules.batch(torch.Size(problem.operator.domain_shape).numel())
    values, note = [], None
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        for sample, outcome in zip(part, reconstruct_each(reconstruct, problem.operator, part, cell.device)):
            if outcome.x is None:
                return Record(sample="validation", at=point, error=outcome.error)
            note = outcome.note or note
            truth, x = pictures.magnitude(sample.truth), pictures.magnitude(outcome.x)
            values.append(float(metrics.psnr(truth, x, problem.data_range)))
    return Record(sample="validation", at=point, values={"psnr": sum(values) / len(values)}, note=note)


def chosen(method: Method, records: list[Record]) -> dict[str, Any]:
    """The settings of the best evaluation in a ledger; empty where none succeeded.

    Evaluations within TIE of the best are equal: of those the one with the least depth wins, then the best.
    """
    scored = [record for record in records if "psnr" in record.values]
    if not scored:
        return {}
    best = max(record.values["psnr"] for record in scored)
    equal = [record for record in scored if record.values["psnr"] >= best - TIE]
    winner = min(equal, key=lambda record: (record.at.get(method.depth or "", 0.0), -record.values["psnr"]))
    return tuner.value(method.search, winner.at)


MEASUREMENT = Measurement(
    name="tuning",
    version=1,
    title="Tuning on the validation images",
    metrics=(Metric("psnr", "Validation PSNR", "dB", "higher"),),
    measure=measure,
)
