"""A cell under another operator than its task's: what is measured, and what the method is told."""

from __future__ import annotations

from recon_bench.core import Sample
from recon_bench.measurement import Cell
from recon_bench.scoring.host import Host, host
from recon_bench.scoring.identify import Estimate
from recon_bench.scoring.named import Named
from recon_bench.task import Shift


def observed(cell: Cell, shift: Shift | None, images: int) -> list[Sample]:
    """The first ``images`` of the test split, of as many as the rules score, with data of A1, or A0 without a shift."""
    task = cell.task.shifted(shift) if shift else cell.task
    count = min(images, cell.rules.images, task.sizes["test"])
    return [task.observe("test", index) for index in range(count)]


def told(cell: Cell, operator: Named | None = None, weights: str = "") -> Host:
    """The method set up for an operator, A0 unless given, with the weights of its own task or of another's name."""
    method = host(cell, operator=operator, weights=weights)
    method.set_up(cell.settings, cell.rules.seeds[0])
    return method


def assumed(shift: Shift) -> Named:
    """The operator that who is ignorant believes in."""
    return Named(shift.name, shift.parameter.assumed) if shift.parameter else Named()


def chosen(shift: Shift, found: Estimate | None) -> Named:
    """The operator to take: A1, or that of the value ``found``, of A0's where it is not identified."""
    if shift.parameter is None or found is None:
        return Named(shift.name)
    return Named(shift.name, found.value if found.identified else shift.parameter.assumed)


def known(shift: Shift, found: Estimate | None) -> tuple[dict[str, float], str | None]:
    """What was found of the parameter of A1, and a note where it cannot be identified; nothing where all is known."""
    if shift.parameter is None or found is None:
        return {}, None
    values = {"parameter": found.value, "parameter_error": abs(found.value - shift.parameter.true)}
    fall = f"the misfit falls by {100 * found.sharpness:.1f} % from the ends of its range"
    note = None if found.identified else f"cannot identify the {shift.parameter.name}: {fall}"
    return values | {"identified": float(found.identified)}, note
