"""The tasks' images and data against committed figures: a change of content wants a new version of the task.

After such a change, with the version raised: ``python -m tests.test_contents`` writes the figures anew.
"""

import json
from pathlib import Path

import pytest

from recon_bench import registry

FILE = Path(__file__).with_name("task_contents.json")
CASES = (("train", 1), ("validation", 0), ("test", 0), ("test", 2))
LARGE = ("ct-head-143",)  # its simulator takes 10 s to build, and differs from that of ct-head-50 in the views alone


def figures(name: str) -> dict[str, list[float]]:
    """Mean and standard deviation of truth and data of a few samples."""
    found = {}
    for split, index in CASES:
        sample = registry.task(name).samples(split)[index]
        parts = [part.abs().double() for part in (sample.truth, sample.data)]
        found[sample.id] = [float(f"{value:.8g}") for part in parts for value in (part.mean(), part.std())]
    return found


def named() -> list[str]:
    return [name for name, task in registry.tasks().items() if task.missing() is None and name not in LARGE]


@pytest.mark.parametrize("name", named())
def test_images_and_data_are_those_that_were_committed(name):
    expected = json.loads(FILE.read_text())[name]
    assert expected["version"] == registry.task(name).version
    for sample, values in figures(name).items():
        assert values == pytest.approx(expected["samples"][sample], rel=1e-4), sample


if __name__ == "__main__":
    contents = {name: {"version": registry.task(name).version, "samples": figures(name)} for name in named()}
    FILE.write_text(json.dumps(contents, indent=1) + "\n")
