"""Operator shift: reconstructions of data that A1 measured, by a method made for A0, from as much as it may be told.

The same images, stream and level of noise (relative to the mean of what is measured, but for Poisson's), settings and
weights as the task's; the scenario says what the method knows:

- ``home``: A0 measured the data, and the method knows it.
- ``ignorant``: A1 measured them, the method takes them for data of A0, mapped to its shape as the shift says.
- ``swapped``: a network that was set up for A0 is handed A1 with the data, and nothing else changes.
- ``told``: the method is set up for A1, as for a task of its own, with the settings and weights of A0's task.
- ``estimated``: as told, but a parameter of A1 is not known and found from the same data (:mod:`.identify`), which are
  all of one scanner; where it cannot be identified, the value that A0 has is kept.

The misfits that were found on the way to the parameter are a curve beside them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recon_bench.core import NotApplicable, Sample
from recon_bench.data.shifts import KINDS, of_task
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import identify, pictures, quality, shifted
from recon_bench.scoring.answers import Reconstruction, reason
from recon_bench.scoring.host import Host
from recon_bench.scoring.identify import Estimate, Search
from recon_bench.scoring.named import Named
from recon_bench.task import Parameter, Shift

Ask = Callable[[], Sequence[Reconstruction]]
SCENARIOS = ("home", "ignorant", "swapped", "told", "estimated")
HOME, IGNORANT, SWAPPED, TOLD, ESTIMATED = range(len(SCENARIOS))
PICTURED = "rotation-centre"  # the shift of which there are pictures, of who is ignorant and who finds the parameter


@dataclass(frozen=True)
class Protocol:
    """``shifts`` and ``scenarios``, by whose places records say which they are about; ``images``: test images at most,
    from the first ``searched`` of which a parameter is found."""

    shifts: tuple[str, ...] = KINDS
    scenarios: tuple[str, ...] = SCENARIOS
    images: int = 10
    searched: int = 4
    search: Search = field(default_factory=Search)


PROTOCOL = Protocol()


def points(cell: Cell) -> Sequence[Mapping[str, float]]:
    """One for each shift of the task."""
    return [{"shift": number} for number, _ in of_task(cell.task.shifts)]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """For each shift: a record for each scenario and image, one for each value of a parameter that was tried, and a
    scalar one. NotApplicable without shifts, or where the method cannot run at home.
    """
    if not cell.task.shifts:
        raise NotApplicable("the task has no other measurement of its images")
    home = shifted.told(cell)
    for number, shift in of_task(cell.task.shifts):
        if cell.at in ({}, {"shift": number}):
            found = of_shift(cell, home, shift, save)
            yield from (record for record in found if record.key not in done)


def of_shift(cell: Cell, home: Host, shift: Shift, save: SavePicture) -> Iterator[Record]:
    """All about one shift; what fails in one scenario leaves the others."""
    own, other = (shifted.observed(cell, each, PROTOCOL.images) for each in (None, shift))
    y = torch.stack([sample.data for sample in other])
    A1 = Named(shift.name)
    asked: dict[int, Ask] = {
        HOME: lambda: home.reconstruct(torch.stack([sample.data for sample in own])),
        IGNORANT: lambda: home.reconstruct(shift.mapped(y), shifted.assumed(shift)),
        TOLD: lambda: shifted.told(cell, A1).reconstruct(y),
    }
    if cell.method.network is not None:
        asked[SWAPPED] = lambda: home.reconstruct(y, A1)
    if shift.parameter is not None:
        found = search(shift.parameter, y[: PROTOCOL.searched], home.device)
        yield from curve(cell, shift, found)
        A = shifted.chosen(shift, found)
        asked[ESTIMATED] = lambda: shifted.told(cell, A).reconstruct(y)
    values = dict[int, list[float]]()
    for scenario, ask in sorted(asked.items()):
        records = list(scored(cell, shift, scenario, other, ask, save))
        yield from records
        values[scenario] = [record.values["psnr"] for record in records if "psnr" in record.values]
    yield from summary(cell, shift, values)


def search(parameter: Parameter, y: Tensor, device: torch.device) -> Estimate:
    """The parameter found from data ``y`` (batch, *range_shape) alone."""

    def misfit(value: float) -> float:
        A = parameter.make_operator(value, device, torch.float32)
        return identify.explained(A, y, PROTOCOL.search.iterations)

    return identify.estimate(misfit, parameter.low, parameter.high, PROTOCOL.search)


def place(shift: Shift) -> dict[str, float]:
    """Where records of a shift stand."""
    return {"shift": float(PROTOCOL.shifts.index(shift.name))}


def curve(cell: Cell, shift: Shift, found: Estimate) -> Iterator[Record]:
    """What was tried, and what was found of the parameter."""
    blank = Record(at=place(shift), seed=cell.rules.seeds[0])
    for value, misfit in found.tried.items():
        yield dataclasses.replace(blank, at={**blank.at, "value": value}, values={"misfit": misfit})
    values, note = shifted.known(shift, found)
    yield dataclasses.replace(blank, values=quality.finite(values | {"sharpness": found.sharpness}), note=note)


def scored(
    cell: Cell, shift: Shift, scenario: int, samples: Sequence[Sample], ask: Ask, save: SavePicture
) -> Iterator[Record]:
    """A record for each image, or one that says why there is none."""
    blank = Record(at={**place(shift), "scenario": float(scenario)}, seed=cell.rules.seeds[0])
    try:
        reconstructions = ask()
    except NotApplicable as why:
        yield dataclasses.replace(blank, note=f"not applicable: {why}")
        return
    except Exception as error:  # a method may raise anything; the other scenarios go on
        yield dataclasses.replace(blank, error=reason(error, cell.device))
        return
    for sample, found in zip(samples, reconstructions):
        record = dataclasses.replace(blank, sample=sample.id, error=found.error, note=found.note)
        if found.x is not None:
            values = {"psnr": quality.psnr(cell.task, sample.truth, found.x)}
            record = dataclasses.replace(record, values=quality.finite(values))
            if shift.name == PICTURED and scenario in (IGNORANT, ESTIMATED) and sample is samples[0]:
                caption = f"{sample.id}, {SCENARIOS[scenario]}, {values['psnr']:.2f} dB"
                save(f"{PICTURED}-{SCENARIOS[scenario]}", pictures.grey(found.x, cell.task.display), caption)
        yield record


def summary(cell: Cell, shift: Shift, values: Mapping[int, Sequence[float]]) -> Iterator[Record]:
    """What stands on the board: of whole scenarios, the PSNR told and what is lost from home."""
    means = {scenario: math.fsum(each) / len(each) for scenario, each in values.items() if each}
    if HOME in means:
        found = {"shifted_psnr": means[TOLD]} if TOLD in means else {}
        lost = {TOLD: "told_loss", IGNORANT: "ignorant_loss"}
        found |= {name: means[HOME] - means[scenario] for scenario, name in lost.items() if scenario in means}
        yield Record(shift.name, found, {}, cell.rules.seeds[0])


MEASUREMENT = Measurement(
    name="shift",
    version=1,
    title="Operator shift",
    metrics=(
        Metric("shifted_psnr", "PSNR with another operator, told", "dB", "higher"),
        Metric("told_loss", "Lost to another operator, told", "dB", "lower"),
        Metric("ignorant_loss", "Lost to another operator, ignorant", "dB", "lower"),
        Metric("psnr", "PSNR", "dB", "higher"),
        Metric("misfit", "Misfit", "", "lower", 4),
        Metric("parameter", "Parameter found", "", "lower"),
        Metric("parameter_error", "Error of the parameter", "", "lower", 3),
        Metric("sharpness", "Fall of the misfit", "", "higher", 3),
        Metric("identified", "Identified", "", "higher", 0),
    ),
    measure=measure,
    protocol=PROTOCOL,
    points=points,
    hidden=("told_loss", "ignorant_loss"),
    confirm="accuracy",
)
