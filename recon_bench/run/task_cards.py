"""Task cards: what the site and the tables know of a task, one file with two pictures beside its results."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from recon_bench import results
from recon_bench.scoring import pictures
from recon_bench.task import Task


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


def write(task: Task, root: Path) -> Path:
    """Write the card with pictures of the first test image and its data, unless it is there; its path."""
    folder = root / task.name
    path = folder / f"task-{task.hash}.json"
    if path.exists():
        return path
    sample = task.samples("test")[0]
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for name, pixels, caption in (
        ("truth", pictures.grey(sample.truth, task.display), "the first test image"),
        ("data", pictures.measurement(sample.data), "its data"),
    ):
        file = f"task-{task.hash}-{name}.webp"
        images[name] = {"file": file, "sha256": pictures.save(pixels, folder / file), "caption": caption}
    return results.write_card(card(task) | {"images": images}, root)
