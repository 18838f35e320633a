"""Training: how the weights of a learned method came about, from their card. Nothing is trained here.

Points of the curves lie at training steps; the scalars are what was spent, weights it started from included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from recon_bench import weights
from recon_bench.core import Method
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture


def names(method: Method, task: str) -> Sequence[str]:
    """The weights that the method comes with for the task."""
    return weights.own(method, task)


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record of scalars, then one for each step with a validation PSNR, a loss or both."""
    for name in names(cell.method, cell.task.name):
        card = weights.card(name)
        spent = weights.spent(card)
        scalars = {"training_samples": spent["samples"], "training_hours": spent["seconds"] / 3600}
        yield Record(sample=name, values={"parameters": card["parameters"], **scalars})
        curve: dict[int, dict[str, float]] = {step: {"loss": loss} for step, loss in card["loss"]}
        for step, psnr in card["validation"]:
            curve.setdefault(step, {})["validation"] = psnr
        yield from (Record(sample=name, at={"steps": step}, values=curve[step]) for step in sorted(curve))


MEASUREMENT = Measurement(
    name="training",
    version=1,
    title="Training",
    metrics=(
        Metric("parameters", "Parameters", "", "lower", 0),
        Metric("training_samples", "Training samples", "", "lower", 0),
        Metric("training_hours", "Training time, on the machine of its card", "h", "lower", 1),
        Metric("validation", "Validation PSNR", "dB", "higher"),
        Metric("loss", "Training loss", "", "lower", 6),
    ),
    measure=measure,
    weights=names,
    hidden=("training_samples", "training_hours"),
)
