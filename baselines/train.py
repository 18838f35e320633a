"""The only training loop: Adam on the mean squared error, for every learned method on every task.

Read from top to bottom: `train` prepares, `_session` is the loop, the rest are its parts. A training may take many
sessions. Batch i depends on (seed, i) alone and the learning rate on how much of the budget is spent, so a training
that is killed and resumed gives, with the same threads, bit for bit the weights of one that was not. The budget is in
steps, or in minutes where only minutes are given (then the rate follows the clock, and nothing repeats exactly).
"""

from __future__ import annotations

import dataclasses
import io
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from baselines import examples, learned
from recon_bench import clock, metrics, provenance, weights
from recon_bench.core import Method, Problem, Task
from recon_bench.recipe import Recipe

REPORT = 10  # steps between looks at the loss; checkpoints are written at these steps alone
CURVE = 400  # points of the loss curve on a card
CHECKPOINTS = Path("build/training")


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
    """What a checkpoint remembers besides the network and the optimiser."""

    step: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)  # weights
    spent: examples.Spent = field(default_factory=examples.Spent)


def train(
    method: Method,
    task: Task,
    settings: Any = None,
    recipe: Recipe | None = None,
    device: str = "cpu",
    steps: int = 0,
    minutes: float = 0.0,
    images: int = 0,
    resume: bool = False,
    folder: Path = CHECKPOINTS,
    checkpoint_seconds: float = 120.0,
) -> str:
    """Train ``method`` on ``task``, keep weights and card, and give their name.

    ``settings.seed`` decides everything random. ``steps``: the budget, by default the recipe's unless ``minutes`` are
    given; ``minutes`` with ``steps`` end this session alone, to be resumed. ``images``: use only the first so many of
    the training split, 0 for the task's law. Raises :class:`TrainingError`, ValueError, NotApplicable.
    """
    if method.network is None or method.recipe is None:
        raise TrainingError(f"{method.name} has nothing to train: expected a method with a network")
    settings, recipe = settings or method.settings, recipe or method.recipe
    variant = "-".join(filter(None, [learned.variant(settings), f"images{images}" * bool(images)]))
    name = weights.full_name(method.name, task.name, settings.seed, variant)
    file = folder / f"{name}.pt"
    if file.exists() and not resume:
        raise TrainingError(f"{file}: is a training under way; add --resume to go on, or delete it to start again")
    if not file.exists() and resume and name in weights.registry() and weights.card(name)["finished"]:
        print(f"{name} is trained: {weights.card(name)['best']['psnr']:.2f} dB on validation images")
        return name
    problem = task.problem(device)
    network = learned.untrained(method.network, problem, settings)
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate, betas=(0.9, recipe.beta2))
    budget = (steps or (0 if minutes else recipe.steps), 0.0 if steps else minutes)
    precision = _precision(recipe, problem.operator.device)
    run = Run(method, problem, settings, recipe, images, *budget, network, optimiser, precision, variant, file)
    state = State()
    if file.exists():
        run, state = _restore(run, state)
    stop_after = minutes if run.steps and minutes else math.inf
    print(f"{name}: {sum(p.numel() for p in network.parameters()):,} parameters, {precision}, on {device}", flush=True)
    _session(run, state, 60 * stop_after, checkpoint_seconds)
    saved = _publish(run, state)
    if run.progress(state) >= 1:
        file.unlink(missing_ok=True)
    return saved


def _session(run: Run, state: State, stop_after: float, checkpoint_seconds: float) -> None:
    """Train until the budget is spent, ``stop_after`` seconds have gone by, or a signal asks to stop."""
    recipe, network = run.recipe, run.network
    forward = torch.compile(network) if recipe.compile else network
    draw = examples.source(run.problem, network, run.images, recipe.crop)
    truths, data = _validation_images(run.problem, recipe.validation_images)
    torch.backends.cudnn.allow_tf32 = True
    started, before, written = time.monotonic(), state.seconds, time.monotonic()
    total = torch.zeros((), device=run.problem.operator.device)
    with (
        _bar(run, state) as bar,
        _signals() as asked,
        examples.batches(draw, run.settings.seed, state.step, recipe.batch, state.spent) as stream,
    ):
        while run.progress(state) < 1:
            total += _step(run, state, forward, *next(stream))
            state.step += 1
            state.seconds = before + time.monotonic() - started
            last = run.progress(state) >= 1
            if state.step % REPORT and not last:
                continue
            mean = float(total) / (state.step % REPORT or REPORT)
            total.zero_()
            if not math.isfinite(mean):
                raise TrainingError(_not_finite(run, state))
            state.losses.append((state.step, mean))
            if state.step % recipe.validate == 0 or last:
                _validate(run, state, truths, data)
                tqdm.write(_line(run, state))
            bar.n = run.progress(state)
            bar.set_description_str(_line(run, state))
            enough = asked or time.monotonic() - started > stop_after
            if last or enough or time.monotonic() - written > checkpoint_seconds:
                _checkpoint(run, state)
                written = time.monotonic()
            if enough:
                break
    if not state.best:  # stopped before the first validation
        _validate(run, state, truths, data)


def _step(run: Run, state: State, forward: Any, inputs: Tensor, truth: Tensor) -> Tensor:
    """One step of Adam; gives the loss, or NaN where the loss or its gradient is not finite."""
    rate = run.recipe.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, run.progress(state))))
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    try:
        loss = _loss(run, forward, inputs, truth)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        raise TrainingError(_too_large(run, forward, inputs, truth)) from error
    size = nn.utils.clip_grad_norm_(run.network.parameters(), run.recipe.clip)
    run.optimiser.step()
    return torch.where(torch.isfinite(size), loss, torch.nan)


def _loss(run: Run, forward: Any, inputs: Tensor, truth: Tensor) -> Tensor:
    """The mean squared error of a batch, with its gradients in the network."""
    run.network.train()
    run.optimiser.zero_grad(set_to_none=True)
    with torch.autocast(truth.device.type, torch.bfloat16, enabled=run.precision == "bfloat16"):
        if hasattr(run.network, "prepare"):  # which the examples have done
            x = forward.refine(inputs)
        else:
            x = forward(inputs, run.problem.operator)
    error = x - truth
    loss = (error.abs() if error.is_complex() else error).square().mean()
    loss.backward()
    return loss.detach()


def _validation_images(problem: Problem, count: int) -> tuple[Tensor, Tensor]:
    samples = [problem.validation[i] for i in range(min(count, len(problem.validation)))]
    parts = ([s.truth for s in samples], [s.data for s in samples])
    truth, data = (torch.stack(part).to(problem.operator.device) / problem.data_range for part in parts)
    return truth, data


@torch.no_grad()
def _psnr(run: Run, truths: Tensor, data: Tensor) -> float:
    """Mean PSNR of the network as it is used: one image at a time, in float32."""
    run.network.eval()
    images = torch.cat([run.network(y[None], run.problem.operator) for y in data])
    if images.is_complex():
        images, truths = images.abs(), truths.abs()
    return float(metrics.psnr(truths, images, 1.0).mean())


def _validate(run: Run, state: State, truths: Tensor, data: Tensor) -> None:
    value = _psnr(run, truths, data)
    if not state.best or value > max(psnr for _, psnr in state.validation):
        state.best = {key: tensor.detach().cpu().clone() for key, tensor in run.network.state_dict().items()}
    state.validation.append((state.step, value))


def _checkpoint(run: Run, state: State) -> None:
    """Write everything that the rest of the training depends on, so that a kill at any moment loses little."""
    state.peak_bytes = max(state.peak_bytes, clock.peak_bytes(run.problem.operator.device))
    content = {
        "run": {"steps": run.steps, "minutes": run.minutes, "images": run.images},
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


def _restore(run: Run, state: State) -> tuple[Run, State]:
    """The training as its checkpoint left it; its budget is the checkpoint's, its recipe the one given now."""
    try:
        content = torch.load(run.file, map_location=run.problem.operator.device, weights_only=True)
        run.network.load_state_dict(content["network"])
        run.optimiser.load_state_dict(content["optimiser"])
    except (RuntimeError, KeyError, EOFError, OSError, ValueError) as error:
        raise TrainingError(f"{run.file}: cannot be resumed ({error}); delete it to start again") from error
    state = State(**content["state"], spent=examples.Spent(**content["spent"]))
    state.best = {key: tensor.cpu() for key, tensor in state.best.items()}
    return dataclasses.replace(run, **content["run"]), state


def _publish(run: Run, state: State) -> str:
    """Keep the best weights, in half precision where that changes the validation PSNR by less than 0.01 dB."""
    truths, data = _validation_images(run.problem, run.recipe.validation_images)
    values = []
    for candidate in (state.best, weights.halved(state.best)):
        run.network.load_state_dict(candidate)
        values.append(_psnr(run, truths, data))
    change = values[1] - values[0]
    return weights.save(
        run.method.name,
        run.problem.task,
        state.best,
        card(run, state) | {"half_precision_change_db": round(change, 5)},
        run.settings.seed,
        run.variant,
        half=abs(change) < 0.01,
    )


def card(run: Run, state: State) -> dict[str, Any]:
    """The training as data: what was trained on what, for how long, and how it went."""
    device = run.problem.operator.device
    step, best = max(state.validation, key=lambda point: point[1])
    thin = max(1, len(state.losses) // CURVE)
    fresh = run.problem.fresh is not None and not run.images
    layers = learned.parameters(run.network)
    head, clean = provenance.commit()
    return {
        "method": run.method.name,
        "task": run.problem.task,
        "seed": run.settings.seed,
        "settings": dataclasses.asdict(run.settings),
        "recipe": dataclasses.asdict(run.recipe),
        "budget": {"steps": run.steps, "minutes": run.minutes},
        "finished": run.progress(state) >= 1,
        "steps": state.step,
        "samples": state.step * run.recipe.batch,
        "data": "fresh samples of the task's law" if fresh else "images of the training split, as they are",
        "images": run.images or (None if fresh else len(run.problem.train)),
        "seconds": round(state.seconds, 1),
        "seconds_making_data": round(state.spent.making, 1),
        "seconds_waiting_for_data": round(state.spent.waiting, 1),
        "device": str(device),
        "machine": provenance.machine(str(device)),
        "threads": torch.get_num_threads(),
        "precision": run.precision,
        "peak_bytes": max(state.peak_bytes, clock.peak_bytes(device)),
        "best": {"step": step, "psnr": round(best, 4)},
        "loss": [(at, float(f"{value:.4g}")) for at, value in state.losses[::thin]],
        "validation": [(at, round(value, 4)) for at, value in state.validation],
        "parameters": sum(layers.values()),
        "layers": layers,
        "packages": provenance.packages(),
        "commit": head,
        "clean": clean,
    }


def _precision(recipe: Recipe, device: torch.device) -> str:
    known = ("auto", "bfloat16", "float32")
    if recipe.precision not in known:
        raise ValueError(f"expected a precision of {', '.join(known)}, got {recipe.precision!r}")
    if recipe.precision != "auto":
        return recipe.precision
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


def _not_finite(run: Run, state: State) -> str:
    kept = f"the checkpoint {run.file} from before is kept" if run.file.exists() else "there is no checkpoint yet"
    return (
        f"the loss is NaN or infinite by step {state.step}; {kept}. Lower the rate (--recipe rate={run.recipe.rate / 3:.1g}) "
        f"or the clip (--recipe clip={run.recipe.clip / 3:.1g}), then the same command with --resume"
    )


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


def _too_large(run: Run, forward: Any, inputs: Tensor, truth: Tensor) -> str:
    """Says which batch fits, found by trying halves."""
    size = len(truth) // 2
    while size:
        try:
            _loss(run, forward, inputs[:size], truth[:size])
            break
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
        size //= 2
    fits = f"a batch of {size} fits: --recipe batch={size}" if size else "a single image does not fit: use a smaller crop"
    return f"out of memory on {truth.device} with a batch of {len(truth)}; {fits}"


def _line(run: Run, state: State) -> str:
    left = (1 / max(run.progress(state), 1e-9) - 1) * state.seconds
    clock_left = f"{left / 3600:.1f} h" if left > 5400 else f"{left / 60:.0f} min"
    of = f"/{run.steps}" if run.steps else ""
    psnr = f", validation {state.validation[-1][1]:.2f} dB" if state.validation else ""
    making = state.spent.making / max(state.seconds, 1e-9)
    return f"step {state.step}{of}, loss {state.losses[-1][1]:.3g}{psnr}, {clock_left} left, data {making:.0%}"


@contextmanager
def _bar(run: Run, state: State) -> Iterator[Any]:
    with tqdm(total=1.0, initial=run.progress(state), disable=None, bar_format="{percentage:3.0f}%|{bar:20}| {desc}") as bar:
        yield bar


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that is no longer empty once somebody asked to stop (Ctrl-C, or the end of a job)."""
    asked: list[int] = []
    watched = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, lambda got, _: asked.append(got)) for number in watched]
    try:
        yield asked
    finally:
        for number, handler in zip(watched, previous):
            signal.signal(number, handler)
