"""A result of robustness in which submitted perturbations count, without its attack being made anew.

At each level the worse counts of what was found before and of what is submitted, as in a measurement with these files;
all else stays. The new result names the one that it continues, and `recon-bench check` finds no error smaller than
there.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from recon_bench import registry, results
from recon_bench.measurements.robustness import MEASUREMENT, PROTOCOL
from recon_bench.results import Json, Result, started
from recon_bench.rules import FULL
from recon_bench.run import effects, provenance
from recon_bench.run.apart import apart
from recon_bench.run.effects import Picture
from recon_bench.run.plan import asked_for
from recon_bench.run.planned import RunSetup
from recon_bench.run.worker import CHANGED
from recon_bench.scoring import pictures, submitted
from recon_bench.storage import replace_file
from recon_bench.task import Task


def newest(task: Task, method: str, known: Sequence[Result]) -> Result | None:
    """The result of robustness that the board shows of a method on a task."""
    own = [r for r in known if (r.kind, r.task["hash"], r.method["name"]) == (MEASUREMENT.name, task.hash, method)]
    same = [r for r in own if (r.measurement["hash"], r.rules["hash"]) == (MEASUREMENT.hash, FULL.hash)]
    return max(same, key=started, default=None)


def count(before: Result, task: str, method: str, root: Path, command: str) -> Path | None:
    """Write the result ``before``, which is in ``root``, as it is with the files in ``attacks``; None where these make
    nothing worse. ValueError where it is of other code or weights, and where a file cannot be used."""
    task, method, made = registry.absolute(task), registry.absolute(method), before.provenance
    (cell,) = asked_for([task], [method], [MEASUREMENT.name], RunSetup(FULL, made["device"], made["threads"], {}))
    if cell.broken or not before.stands_for(cell.identity, cell.weights):
        raise ValueError(cell.broken or f"{before.path}: is of other code or weights; measure robustness again")
    begun, clock = datetime.now(UTC), time.monotonic()
    ask = partial(effects.effects, given=_given(cell.task, cell.method.name))
    place = {"device": made["device"], "threads": made["threads"]}
    found, shown = apart(task, method, before.method["settings"], ask, **place)
    if cell.changed:
        raise ValueError(CHANGED)
    records = effects.merged(before.records, found)
    changed = [after for old, after in zip(before.records, records) if _said(old) != _said(after)]
    if not changed:
        return None
    seconds = made["seconds"] + time.monotonic() - clock
    told = provenance.of_run(begun, seconds, **place, seeds=made["seeds"], command=f"{made['command']} && {command}")
    told |= {"backend": made.get("backend"), "continues": before.stem}
    new = dataclasses.replace(before, records=records, provenance=told, images={}, path=None)
    pictured = any(each["at"] == {"image": 0.0, "level": PROTOCOL.reported} for each in changed)
    return _write(results.unused(new, root), before, shown if pictured else [], root)


def _given(task: Task, method: str) -> dict[str, list[Tensor]]:
    """What is submitted against a method, by image, of those that are attacked. ValueError where that is nothing."""
    found: dict[str, list[Tensor]] = {pictures.name(index): [] for index in range(effects.images(task))}
    for path in submitted.files(task.name, method):
        for name, e in submitted.read(path, task).items():
            found.get(name, []).append(e)
    if not any(found.values()):
        raise ValueError(f"nothing is submitted: put a file into attacks/{task.name}/{method} first")
    return {name: each for name, each in found.items() if each}


def _said(record: Json) -> tuple[Any, Any]:
    """What of a record makes a difference."""
    return record["values"].get("error"), record["note"]


def _write(new: Result, before: Result, shown: Sequence[Picture], root: Path) -> Path:
    """Write a result with the pictures ``shown``, or else those of the one before; its path."""
    folder, kept = new.folder(root), dict[str, Json]()
    try:
        for name, pixels, caption in shown:
            file = f"{new.stem}-{name}.webp"
            kept[name] = {"file": file, "sha256": pictures.save(pixels, folder / file), "caption": caption}
        for name, image in before.images.items() if not shown else ():
            file = f"{new.stem}-{name}.webp"
            replace_file(folder / file, (folder / image["file"]).read_bytes())
            kept[name] = {**image, "file": file}
        return results.write(dataclasses.replace(new, images=kept), root)
    except BaseException as error:
        for picture in folder.glob(f"{new.stem}-*.webp"):  # without a result they would belong to nothing
            picture.unlink()
        if isinstance(error, OSError):
            raise results.refused(folder, error) from error
        raise
