"""Conduct: what cannot be kept from a method is looked for, and what was seen stands on the board.

The first test images are reconstructed in a batch, one by one, with data changed by a millionth, and again. A batch may
differ from a loop by what rounding and stopping rules explain. What is the answer to these data alone, out of a memory
of the test images, is not that to their neighbours, nor is what depends on calls before the answer to the same data.
In each call it is watched whether the data, the operator, the number of threads, the default type or the global random
numbers are changed. `recon-bench verify` asks for images that nobody could have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import attack, pictures, quality
from recon_bench.scoring.answers import Reconstruction
from recon_bench.scoring.host import Host, host


@dataclass(frozen=True)
class Protocol:
    """``images``: test images at most; ``nudge``: of the data, relative to their norm. Images may differ, relative to
    their norm: ``again`` for the same data, ``elsewhere`` for nudged ones and in a batch.
    """

    images: int = 3
    nudge: float = 1e-6
    again: float = 1e-3
    elsewhere: float = 0.03
    seed: int = 11


PROTOCOL = Protocol()


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """A record of each image, and one of all that was seen. Raises what the method raises where it cannot run."""
    method, seed = host(cell), cell.rules.seeds[0]
    method.changed_operator()
    method.set_up(cell.settings, seed)
    count = min(PROTOCOL.images, cell.rules.images, cell.task.sizes["test"])
    y = torch.stack([cell.task.samples("test")[index].data for index in range(count)])
    batch = method.reconstruct(y)
    alone, nudged, again = (_each(method, data) for data in (y, _nudged(y), y))
    seen = dict[str, None]()
    for index in range(count):
        record = Record(pictures.name(index), seed=seed)
        wrong = next((found[index].error for found in (alone, batch, nudged, again) if found[index].error), None)
        if wrong:
            yield Record(record.sample, seed=seed, error=wrong)
            continue
        others = {"batch": batch[index], "nudged": nudged[index], "again": again[index]}
        values = {name: _apart(alone[index], other) for name, other in others.items()}
        seen |= dict.fromkeys(name for name, value in values.items() if value > _limit(name))
        yield Record(record.sample, quality.finite(values), seed=seed)
    said = [SAID[name] for name in seen]
    said += dict.fromkeys(what for each in (*batch, *alone, *nudged, *again) for what in each.seen)
    said += method.changed_operator()
    yield Record(
        "all", {"findings": float(len(said))}, seed=seed, note="; ".join(f"it {what}" for what in said) or None
    )


SAID = {
    "batch": f"gives other images in a batch than one by one, by more than {PROTOCOL.elsewhere:.0%}",
    "nudged": f"gives another image for data changed by a millionth, by more than {PROTOCOL.elsewhere:.0%}: "
    "it may remember the test images",
    "again": f"gives another image for the same data later, by more than {PROTOCOL.again:.1%}",
}


def _limit(name: str) -> float:
    return PROTOCOL.again if name == "again" else PROTOCOL.elsewhere


def _each(method: Host, y: Tensor) -> list[Reconstruction]:
    return [method.reconstruct(data[None])[0] for data in y]


def _nudged(y: Tensor) -> Tensor:
    sizes = [PROTOCOL.nudge * float(torch.linalg.vector_norm(data)) for data in y]
    return torch.stack([data + attack.noise(data, 1, size, PROTOCOL.seed)[0] for data, size in zip(y, sizes)])


def _apart(one: Reconstruction, other: Reconstruction) -> float:
    assert one.x is not None and other.x is not None
    return float((one.x - other.x).norm() / one.x.norm().clamp(min=1e-30))


MEASUREMENT = Measurement(
    name="conduct",
    version=1,
    title="Conduct: what a method may not do",
    metrics=(
        Metric("findings", "Findings about its conduct", "", "lower", 0),
        Metric("batch", "Difference of a batch from its images one by one", "", "lower", 5),
        Metric("nudged", "Change of the image by a millionth of the data", "", "lower", 5),
        Metric("again", "Difference of the same again", "", "lower", 5),
    ),
    measure=measure,
    protocol=PROTOCOL,
    hidden=("batch", "nudged", "again"),
    confirm="accuracy",
)
