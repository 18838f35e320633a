"""The card of a training: everything about it as data; and the line that is printed while it runs."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import torch

from recon_bench import learned, weights
from recon_bench.run import provenance
from recon_bench.scoring import clock
from recon_bench.storage import REPOSITORY
from recon_bench.training.checkpoints import Run, State

CURVE = 400  # points of the loss curve on a card


def card(run: Run, state: State) -> dict[str, Any]:
    """The training as JSON data: what was trained on what, for how long (seconds), and how it went (PSNR in dB)."""
    device = run.problem.operator.device
    step, best = max(state.validation, key=lambda point: point[1])
    thin = -(-len(state.losses) // CURVE)
    fresh = run.problem.fresh is not None and not run.images
    layers = learned.parameters(run.network)
    return {
        "command": _command(run),
        "method": run.method.name,
        "task": run.problem.task,
        "seed": run.settings.seed,
        "settings": dataclasses.asdict(run.settings),
        "recipe": dataclasses.asdict(run.recipe),
        "budget": {"steps": run.steps, "minutes": run.minutes},
        "finished": run.progress(state) >= 1,
        "steps": state.step,
        "samples": state.samples,
        "data": "phantoms" if run.recipe.phantoms else "fresh samples" if fresh else "images of the training split",
        "images": run.images or (None if fresh else len(run.problem.train)),
        "seconds": round(state.seconds, 1),
        "seconds_making_data": round(state.spent.making, 1),
        "seconds_waiting_for_data": round(state.spent.waiting, 1),
        "start": state.start or None,
        "device": str(device),
        "machine": provenance.machine(str(device)),
        "threads": torch.get_num_threads(),
        "sessions": state.sessions,
        "precision": run.precision,
        "tf32": device.type == "cuda" and torch.backends.cudnn.allow_tf32,
        "peak_bytes": max(state.peak_bytes, clock.peak_bytes(device)),
        "best": {"step": step, "psnr": round(best, 4)},
        "loss": [(at, float(f"{value:.4g}")) for at, value in state.losses[::thin]],
        "validation": [(at, round(value, 4)) for at, value in state.validation],
        "parameters": sum(layers.values()),
        "layers": layers,
        "packages": provenance.packages(),
        "commit": state.sessions[-1]["commit"],
        "clean": state.sessions[-1]["clean"],
    }


def start(name: str) -> dict[str, Any]:
    """What went into the weights called ``name``, with what those started from in turn; empty without a name.

    These weights may have been replaced since, so what their card said of how they were made is kept here.
    """
    if not name:
        return {}
    before = weights.card(name)
    made = {key: before[key] for key in ("command", "sessions", "start")}
    return {"name": name, "sha256": weights.seals([name])[name], **weights.spent(before), **made}


def note_session(run: Run, state: State) -> None:
    """Remember from which step on this machine trains in this way with this code, where that is news."""
    machine = provenance.machine(str(run.problem.operator.device))
    commit, clean = provenance.commit()
    here = {
        "machine": machine["gpu"] or machine["cpu"],
        "id": machine["id"],
        "threads": torch.get_num_threads(),
        "precision": run.precision,
        "recipe": _changes(run.recipe, run.method.recipe),
        "commit": commit,
        "clean": clean,
    }
    if not state.sessions or state.sessions[-1] | {"step": 0} != here | {"step": 0}:
        state.sessions.append({"step": state.step, **here})


def _command(run: Run) -> str:
    """The command that repeats the training."""
    budget = ["--steps", str(run.steps)] if run.steps else ["--minutes", f"{run.minutes:g}"]
    path = Path(run.method.path)
    method = run.method.name if path.is_relative_to(REPOSITORY / "baselines") else path.name
    words = ["recon-bench", "train", method, "--task", run.problem.task, *budget]
    words += ["--seed", str(run.settings.seed)] * bool(run.settings.seed)
    words += ["--images", str(run.images)] * bool(run.images)
    words += ["--device", str(run.problem.operator.device)] * (run.problem.operator.device.type != "cpu")
    for option, used, usual in (
        ("--set", run.settings, run.method.settings),
        ("--recipe", run.recipe, run.method.recipe),
    ):
        words += [word for name, value in _changes(used, usual).items() for word in (option, f"{name}={value}")]
    return shlex.join(words)


def _changes(used: Any, usual: Any) -> dict[str, Any]:
    """The fields that differ from the usual ones; the seed has an option of its own."""
    given, default = dataclasses.asdict(used), dataclasses.asdict(usual)
    return {name: given[name] for name in given if given[name] != default[name] and name != "seed"}


def line(run: Run, state: State) -> str:
    """Where a training is, for the terminal: step, loss, norm of the gradient, validation PSNR, time left."""
    left = (1 / max(run.progress(state), 1e-9) - 1) * state.seconds
    clock_left = f"{left / 3600:.1f} h" if left > 5400 else f"{left / 60:.0f} min"
    of = f"/{run.steps}" if run.steps else ""
    psnr = f", validation {state.validation[-1][1]:.2f} dB" if state.validation else ""
    making = state.spent.making / max(state.seconds, 1e-9)
    size = f"loss {state.losses[-1][1]:.3g}, gradient {state.gradient:.2g}"
    return f"step {state.step}{of}, {size}{psnr}, {clock_left} left, data {making:.0%}"
