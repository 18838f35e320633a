"""Model adaptation: what of the gap that another operator opens a network closes from measurements alone, at what cost.

Unlabelled measurements of A1 are those of validation images: some to fit, some held out to stop by, at the latest
before they are explained better than their noise allows. The ways:

- ``home``: A0 measured the data and the network knows it.
- ``ignorant``: A1 measured them, the network takes them for data of A0.
- ``naive``: A1 is put into the network; set up for A0 or for A1, whichever has less held-out misfit, from which the
  next ones start. Where A1 is known up to a parameter it is found as the value at which the network itself explains the
  measurements best, and ``naive`` has it; what is closed then counts from ``ignorant``.
- ``fitted``: parametrise and perturb on the measurements to fit; the same parameters for all images. Then a parameter
  of A1 that is unknown is found again, by the fitted network.
- ``alone``: the same on the data of each image; a part of them is left out of the sum and stops it.
- ``reused``: reuse and regularise, without any fitting; of a few weights the one that best explains a part of the
  held-out data that it was not given.
- ``refitted``: parameters fitted through a few iterations of that, and as many with these; that part stops it.
- ``oracle``: the network trained on A1, where another task's is.

The best classical method under A1, the other end, is measured by :mod:`.shift` on the same images.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from recon_bench.core import NotApplicable
from recon_bench.data.shifts import KINDS, of_task
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.rules import LEAST_GAP
from recon_bench.scoring import quality, shifted, trials
from recon_bench.scoring.adaptation import Budget
from recon_bench.scoring.answers import reason
from recon_bench.scoring.host import Host
from recon_bench.scoring.trials import Outcome, Plan, Trial
from recon_bench.task import Shift

SCORED = {"fitted": "fitting", "reused": "reuse and regularise", "refitted": "fitting through reuse"}  # on all images
SHIFTS = ("fewer-views", "limited-150", "limited-120", "detector-2", "other-mask", "fewer-columns", "other-task")


@dataclass(frozen=True)
class Protocol:
    """``shifts`` among those of ``kinds``, by whose places records name them, as they name ``ways``."""

    shifts: tuple[str, ...] = SHIFTS
    kinds: tuple[str, ...] = KINDS
    ways: tuple[str, ...] = tuple(trials.WAYS)
    plan: Plan = field(default_factory=Plan)


PROTOCOL = Protocol()
LOOK = Plan(measurements=2, held=1, single=1, weights=(0.1,), through=1, budget=Budget(steps=2, look=1))


def plan(cell: Cell) -> Plan:
    """That of rules without tuning is only a look."""
    return PROTOCOL.plan if cell.rules.tuning_evaluations else LOOK


def points(cell: Cell) -> Sequence[Mapping[str, float]]:
    """One for each shift of the task that is adapted to."""
    return [{"shift": number} for number, shift in of_task(cell.task.shifts) if shift.name in PROTOCOL.shifts]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """For each shift and way: a record for each image, one of the cost and one for each look at held-out measurements.

    And a scalar one. NotApplicable without a network or shifts, or where the method cannot run at home.
    """
    if cell.method.network is None:
        raise NotApplicable("has no network whose parameters could be fitted")
    asked = [at for at in points(cell) if cell.at in ({}, at)]
    if not asked:
        raise NotApplicable("the task has no other measurement of its images")
    unmoved = shifted.told(cell)
    for at in asked:
        (shift,) = (shift for number, shift in of_task(cell.task.shifts) if number == at["shift"])
        yield from (record for record in of_shift(cell, unmoved, shift) if record.key not in done)


def of_shift(cell: Cell, unmoved: Host, shift: Shift) -> Iterator[Record]:
    """All about one shift, with the method set up for A0, ``unmoved``; a way that fails leaves the others."""
    blank = Record(at={"shift": float(PROTOCOL.kinds.index(shift.name))}, seed=cell.rules.seeds[0])
    try:
        trial = trials.begin(cell, unmoved, shift, plan(cell))
    except Exception as error:  # a method may raise anything; the other shifts go on
        yield dataclasses.replace(blank, error=reason(error, cell.device))
        return
    means = dict[str, float]()
    for number, (name, way) in enumerate(trials.WAYS.items()):
        place = dataclasses.replace(blank, at={**blank.at, "way": float(number)})
        try:
            outcome = way(trial)
        except NotApplicable as why:
            yield dataclasses.replace(place, note=f"not applicable: {why}")
            continue
        except Exception as error:  # as above
            yield dataclasses.replace(place, error=reason(error, cell.device))
            continue
        scored = list(_scored(trial, place, outcome))
        yield from scored
        values = [record.values["psnr"] for record in scored if "psnr" in record.values]
        if len(values) == len(trial.samples):
            means[name] = math.fsum(values) / len(values)
    if found := summary(means, shift.parameter is not None):
        yield Record(shift.name, found, {}, cell.rules.seeds[0])


def summary(means: Mapping[str, float], unknown: bool) -> dict[str, float]:
    """Of each way of SCORED its mean PSNR and the share of the gap that it closes; no share of a gap below LEAST_GAP.

    From naive use, ignorant where a parameter is ``unknown``, to the oracle, or to home where there is none.
    """
    found = {f"psnr_{way}": means[way] for way in SCORED if way in means}
    bottom, top = means.get("ignorant" if unknown else "naive"), means.get("oracle", means.get("home"))
    if bottom is not None and top is not None and top - bottom >= LEAST_GAP:
        found |= {f"closed_{way}": (means[way] - bottom) / (top - bottom) for way in SCORED if way in means}
    return found


def _scored(trial: Trial, place: Record, outcome: Outcome) -> Iterator[Record]:
    """A record for each image, one of the cost and one for each look."""
    for sample, found in zip(trial.samples, outcome.images):
        record = dataclasses.replace(place, sample=sample.id, error=found.error, note=found.note)
        if found.x is not None:
            value = {"psnr": quality.psnr(trial.cell.task, sample.truth, found.x)}
            record = dataclasses.replace(record, values=quality.finite(value))
        yield record
    if outcome.values:
        yield dataclasses.replace(place, values=quality.finite(outcome.values), note=outcome.note)
    for step, misfit in outcome.trace.items():
        yield dataclasses.replace(place, at={**place.at, "step": float(step)}, values=quality.finite({"held": misfit}))


METRICS = (
    *(Metric(f"closed_{way}", f"Share of the gap closed by {name}", "", "higher") for way, name in SCORED.items()),
    *(Metric(f"psnr_{way}", f"PSNR on another operator by {name}", "dB", "higher") for way, name in SCORED.items()),
    Metric("psnr", "PSNR", "dB", "higher"),
    Metric("held", "Held-out misfit", "", "lower", 4),
    Metric("seconds", "Seconds of adaptation", "", "lower"),  # no units: rows of several machines stand together
    Metric("mib", "MiB of a step", "", "lower", 0),
    Metric("steps", "Steps", "", "lower", 0),
    Metric("weight", "Weight of the reuse", "", "lower", 3),
    Metric("parameter", "Parameter found", "", "lower"),
    Metric("parameter_error", "Error of the parameter", "", "lower", 3),
    Metric("identified", "Identified", "", "higher", 0),
)
MEASUREMENT = Measurement(
    name="adaptation",
    version=2,
    title="Adaptation to another operator",
    metrics=METRICS,
    measure=measure,
    protocol=PROTOCOL,
    points=points,
    hidden=tuple(metric.name for metric in METRICS),
    confirm="accuracy",
)
