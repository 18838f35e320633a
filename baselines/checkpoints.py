"""A training between sessions: what does not change, what does, and the file that survives a kill."""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines import examples
from recon_bench import clock, weights
from recon_bench.core import Method, Problem
from recon_bench.recipe import Recipe


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
    optimiser: torch.optim.Optimizer
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
    them. ``sessions``: the step at which another machine or number of threads took over, and which.
    """

    start: dict[str, Any] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)  # weights
    spent: examples.Spent = field(default_factory=examples.Spent)


def write(run: Run, state: State) -> None:
    """Write everything that the rest of the training depends on, so that a kill at any moment loses little."""
    state.peak_bytes = max(state.peak_bytes, clock.peak_bytes(run.problem.operator.device))
    content = {
        "budget": {"steps": run.steps, "minutes": run.minutes},
        "recipe": dataclasses.asdict(run.recipe),
        "network": run.network.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "state": {key: getattr(state, key) for key in vars(state) if key != "spent"},
        "spent": vars(state.spent),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    run.file.parent.mkdir(parents=True, exist_ok=True)
    weights.replace_file(run.file, buffer.getvalue())


def read(file: Path, steps: int) -> dict[str, Any]:
    """A checkpoint; TrainingError where it cannot be read or is of a training with another number of steps."""
    try:
        kept = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{file}: cannot be read ({error}); delete it to start again") from error
    if steps and steps != kept["budget"]["steps"]:
        started = f"{kept['budget']['steps']} steps" if kept["budget"]["steps"] else "a budget in minutes"
        raise TrainingError(f"{file}: was started with {started}, not {steps} steps; resume without --steps")
    return kept


def restore(run: Run, kept: Mapping[str, Any]) -> State:
    """The state in a checkpoint; fills the network and the optimiser as well."""
    weights.install(run.network, kept["network"], str(run.file))
    run.optimiser.load_state_dict(kept["optimiser"])
    return State(**kept["state"], spent=examples.Spent(**kept["spent"]))
