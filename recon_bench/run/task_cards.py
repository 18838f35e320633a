"""Task cards: what the site and the tables know of a task, one file with a few pictures beside its results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from recon_bench import results
from recon_bench.results import ResultError
from recon_bench.run.limits import least_deviations
from recon_bench.scoring import pictures
from recon_bench.scoring.pictures import Pixels
from recon_bench.task import Task

TOLD = ("title", "description")  # of a card: they define nothing, and no picture
Picture = tuple[Callable[[], Pixels], str, bool]  # how it is made, its caption, whether it is kept without loss


def card(task: Task) -> dict[str, Any]:
    """The card of a task as JSON data, without pictures."""
    fields = ("name", "version", "hash", "family", "title", "description", "data_range")
    return {
        "schema": 1,
        **{name: getattr(task, name) for name in fields},
        "sizes": dict(task.sizes),
        "noise": dataclasses.asdict(task.noise),
        "ssim": dataclasses.asdict(task.ssim),
        "display": list(task.display),
        "error_display": list(task.error_display),
        "card": dict(task.card),
        "images": {},
    }


def write(task: Task, root: Path, limits: bool = False) -> Path:
    """Write the card with its pictures, or bring the one that is there up to date: what does not define the task, and
    pictures that it lacks; its path. With ``limits`` it tells what noise leaves open of small features.

    The pictures: the first test image and its data, the truth of each image whose reconstructions are shown, and the
    first of another origin.
    """
    path = root / task.name / f"task-{task.hash}.json"
    try:
        known, fresh = results.parse(path) if path.exists() else card(task), card(task)
    except ResultError:  # `recon-bench check` says what is wrong with it
        return path
    wanted = {name: picture for name, picture in _pictures(task).items() if name not in known["images"]}
    told = {name: fresh[name] for name in TOLD}
    if limits:
        told["least_deviations"] = known.get("least_deviations") or least_deviations(task)
    if path.exists() and not wanted and all(known.get(name) == value for name, value in told.items()):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    images = {name: _saved(picture, path.with_name(f"{path.stem}-{name}.webp")) for name, picture in wanted.items()}
    unsealed = {name: value for name, value in known.items() if name != "seal"}
    return results.write_card(unsealed | told | {"images": {**known["images"], **images}}, root)


def _pictures(task: Task) -> Mapping[str, Picture]:
    """Pictures of a card by name, none of them made yet."""
    found: dict[str, Picture] = {
        "truth": (partial(_truth, task, 0), "the first test image", False),
        "data": (partial(_data, task, 0), "its data", False),
    }
    for index in pictures.chosen(task):
        found[pictures.name(index)] = (partial(_truth, task, index), f"{pictures.name(index)}, the truth", True)
    if task.foreign:
        found["foreign"] = (partial(_foreign, task), task.foreign[0].title, False)
    return found


def _foreign(task: Task) -> Pixels:
    return pictures.grey(task.observe_foreign(task.foreign[0], 0).truth, task.display)


def _truth(task: Task, index: int) -> Pixels:
    return pictures.grey(task.observe("test", index).truth, task.display)


def _data(task: Task, index: int) -> Pixels:
    return pictures.measurement(task.observe("test", index).data)


def _saved(picture: Picture, path: Path) -> dict[str, str]:
    make, caption, lossless = picture
    return {"file": path.name, "sha256": pictures.save(make(), path, lossless), "caption": caption}
