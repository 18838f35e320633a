"""A training between sessions: what does not change, what does, and the file that survives a kill."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recon_bench import storage, weights
from recon_bench.core import Method, Problem
from recon_bench.recipe import Recipe
from recon_bench.scoring import clock
from recon_bench.training import examples

FIXED = ("steps", "optimiser", "validation_images", "phantoms", "scan_alone")  # of a recipe, once a training has begun


class TrainingError(ValueError):
    """A training that cannot go on; the text says what is kept and what to change."""


@dataclass(frozen=True)
class Run:
    """What does not change during a training. ``steps`` or else ``minutes`` is its budget."""

    method: Method
    problem: Problem
    settings: Any
    recipe: Recipe
    images: int
    steps: int
    minutes: float
    network: nn.Module
    optimisers: list[torch.optim.Optimizer]
    precision: str
    variant: str
    file: Path

    def progress(self, state: State) -> float:
        """The part of the budget that is spent."""
        return state.step / self.steps if self.steps else state.seconds / (60 * self.minutes)


@dataclass
class State:
    """What a checkpoint remembers besides the network and the optimiser.

    ``start``: of the weights that the training started from: name, sha256, and the samples and seconds that went into
    them. ``sessions``: from which step on which machine trained, with which threads, recipe and commit. ``gradient``:
    its norm before clipping, the geometric mean of the last steps.
    """

    start: dict[str, Any] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    gradient: float = 0.0
    validation: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)  # weights
    spent: examples.Spent = field(default_factory=examples.Spent)


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """One training at a time for a checkpoint file: two would write over each other; the second is a TrainingError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.with_suffix(".lock")
    lock.touch()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(storage.locked(lock, wait=False))
        except BlockingIOError:
            raise TrainingError(f"{file}: another process is at this training; wait for it or end it") from None
        yield


def write(run: Run, state: State) -> None:
    """Write everything that the rest of the training depends on, so that a kill at any moment loses little.

    Raises OSError where the disk refuses it; the checkpoint of before is then still there.
    """
    state.peak_bytes = max(state.peak_bytes, clock.peak_bytes(run.problem.operator.device))
    content = {
        "budget": {"steps": run.steps, "minutes": run.minutes},
        "weights": run.settings.weights,
        "recipe": dataclasses.asdict(run.recipe),
        "network": run.network.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in run.optimisers],
        "state": {key: getattr(state, key) for key in vars(state) if key != "spent"},
        "spent": vars(state.spent),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    run.file.parent.mkdir(parents=True, exist_ok=True)
    storage.replace_file(run.file, buffer.getvalue())


def read(file: Path) -> dict[str, Any]:
    """A checkpoint; TrainingError where it cannot be read."""
    try:
        kept = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise TrainingError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        why = "expected a checkpoint of a training, but it is of another kind, or damaged"
        raise TrainingError(f"{file}: cannot be read: {why}; delete it to start again") from error
    if "optimiser" in kept:  # from when there was only Adam
        kept["optimisers"] = [kept.pop("optimiser")]
    return kept | {"recipe": dataclasses.asdict(Recipe(**kept["recipe"]))}


def finished(kept: Mapping[str, Any]) -> bool:
    """Whether the budget of a checkpoint is spent."""
    budget, state = kept["budget"], kept["state"]
    return bool(state["step"] >= budget["steps"] if budget["steps"] else state["seconds"] >= 60 * budget["minutes"])


def check(
    file: Path, kept: Mapping[str, Any], asked: Mapping[str, float], start: str, changes: Mapping[str, Any]
) -> None:
    """TrainingError where a checkpoint has another budget, start or recipe than it is to go on with.

    A budget in steps may be spent in sessions of so many minutes each; the rate, for one, may change between them.
    """
    budget = kept["budget"]
    unit = "steps" if asked["steps"] or budget["steps"] else "minutes"
    if asked[unit] and asked[unit] != budget[unit]:
        began = f"{budget['steps']} steps" if budget["steps"] else f"{budget['minutes']:g} minutes"
        raise TrainingError(f"{file}: was started for {began}, not {asked[unit]:g} {unit}; resume without --{unit}")
    if start and start != kept["weights"]:
        began = f"from the weights {kept['weights']}" if kept["weights"] else "from random weights"
        raise TrainingError(f"{file}: was started {began}, not from {start}; resume without --set weights")
    for name, value in changes.items():
        if value != (before := kept["recipe"][name]) and (name in FIXED or finished(kept)):
            raise TrainingError(f"{file}: was trained with {name}={before}; resume without --recipe {name}")


def restore(run: Run, kept: Mapping[str, Any]) -> State:
    """The state in a checkpoint; fills the network and the optimisers of ``run`` as well.

    Raises WeightsError where the checkpoint is of a network of other shapes.
    """
    weights.install(run.network, kept["network"], str(run.file))
    for optimiser, state in zip(run.optimisers, kept["optimisers"], strict=True):
        optimiser.load_state_dict(state)
        for group in optimiser.param_groups:
            if "betas" in group:
                group["betas"] = (0.9, run.recipe.beta2)
    return State(**kept["state"], spent=examples.Spent(**kept["spent"]))
