"""The only training loop: the mean squared error goes down, for every learned method on every task.

Read from top to bottom: `train` prepares, `_session` is the loop, the rest are its parts. A training may take many
sessions. Batch i depends on (seed, i) alone and the learning rate on how much of the budget is spent, so a training
that is killed and resumed gives, on a CPU with the same threads, bit for bit the weights of one that was not. The
budget is in steps, or in minutes where only minutes are given (then the rate follows the clock, and nothing repeats
exactly).
"""

from __future__ import annotations

import dataclasses
import math
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from recon_bench import learned, weights
from recon_bench.core import Method, NotConverged, Problem
from recon_bench.recipe import Recipe
from recon_bench.scoring.answers import out_of_memory
from recon_bench.task import Task
from recon_bench.training import candidates, cards, checkpoints, examples, optimisers, trouble
from recon_bench.training.checkpoints import Run, State, TrainingError

UNDER_WAY = (  # or finished
    "is a training under way; add --resume to go on",
    "is a finished training that did worse than the weights in use; --resume --replace keeps it all the same",
)
REPORT = 10  # steps between looks at the loss; checkpoints are written then, and when validated
Forward = Callable[[Tensor], Tensor]


def train(
    method: Method,
    task: Task,
    settings: Any = None,
    changes: Mapping[str, Any] | None = None,
    device: str = "cpu",
    steps: int = 0,
    minutes: float = 0.0,
    images: int = 0,
    resume: bool = False,
    replace: bool = False,
    folder: Path | None = None,
    checkpoint_seconds: float = 120.0,
) -> str:
    """Train ``method`` on ``task``, keep weights and card, and give their name.

    ``settings.seed`` decides everything random; ``settings.weights`` names weights to start from. ``changes`` of the
    method's recipe. ``steps``: the budget, by default the recipe's unless ``minutes`` are given; ``minutes`` with
    ``steps`` end this session alone, to be resumed. ``images``: use only the first so many of the training split, 0
    for fresh ones. Weights that did better on the validation images, those of this name or those to start from,
    are kept instead, unless told to ``replace`` what has this name. Checkpoints go to ``folder``, usually beside the
    weights. Raises :class:`TrainingError`, ValueError, NotApplicable; KeyboardInterrupt with the name, once it is kept.
    """
    if method.network is None or method.recipe is None:
        raise TrainingError(f"{method.name} has nothing to train: expected a method with a network and a recipe")
    settings = settings or method.settings
    settings = dataclasses.replace(settings, weights=weights.named(settings.weights, task.name))
    variant = "-".join(filter(None, [weights.variant(settings, method.settings), f"images{images}" * bool(images)]))
    name = weights.full_name(method.name, task.name, settings.seed, variant)
    file = (folder or weights.folder() / ".training") / f"{name}.pt"
    with checkpoints.alone(file), trouble.memory(file), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)  # of a network that is on its way
        kept = checkpoints.read(file) if file.exists() else None
        if kept and not resume:
            raise TrainingError(f"{file}: {UNDER_WAY[checkpoints.finished(kept)]}, or delete it to start again")
        if kept:
            checkpoints.check(file, kept, {"steps": steps, "minutes": minutes}, settings.weights, changes or {})
        recipe = Recipe(**(kept["recipe"] if kept else dataclasses.asdict(method.recipe)) | dict(changes or {}))
        budget = kept["budget"] if kept else {"steps": steps or (0 if minutes else recipe.steps), "minutes": minutes}
        present = weights.card(name) if name in weights.registry() else None
        if resume and not kept and present and _enough(present, settings, recipe, budget):
            print(f"{name} is trained: {present['best']['psnr']:.2f} dB on validation images")
            return name
        if kept:
            settings = dataclasses.replace(settings, weights=kept["weights"])
        run = _prepared(method, task.problem(device), settings, recipe, images, budget, variant, file)
        state = checkpoints.restore(run, kept) if kept else _begun(run)
        size = sum(parameter.numel() for parameter in run.network.parameters())
        print(f"{name}: {size:,} parameters, {run.precision}, on {device}", flush=True)
        if state.start and not state.best and not (replace and state.start["name"] == name):
            candidates.validate(run, state, *candidates.images(run.problem, recipe.validation_images))  # the first
        interrupted = _session(run, state, 60 * minutes if run.steps and minutes else math.inf, checkpoint_seconds)
        candidates.keep(run, state, name, present, replace)
    if interrupted:
        raise KeyboardInterrupt(name)
    return name


def _prepared(
    method: Method,
    problem: Problem,
    settings: Any,
    recipe: Recipe,
    images: int,
    budget: Mapping[str, Any],
    variant: str,
    file: Path,
) -> Run:
    """The network with random weights, what it is trained on, and the optimisers."""
    assert method.network is not None
    if recipe.phantoms:
        problem = examples.on_phantoms(problem)
    if recipe.scan_alone:
        problem = dataclasses.replace(problem, fresh=None)
    network = learned.untrained(method.network, problem, settings)
    precision = _precision(recipe, problem.operator.device)
    return Run(
        method,
        problem,
        settings,
        recipe,
        images,
        **budget,
        network=network,
        optimisers=optimisers.make(network, recipe),
        precision=precision,
        variant=variant,
        file=file,
    )


def _begun(run: Run) -> State:
    """The state of a new training, with the weights that it starts from in the network."""
    name = run.settings.weights
    if name:
        weights.install(run.network, weights.grown(run.network, weights.load_named(name)), name)
    return State(start=cards.start(name))


def _enough(present: Mapping[str, Any], settings: Any, recipe: Recipe, budget: Mapping[str, float]) -> bool:
    """Whether weights with the card ``present`` come from such a training, or one by the same recipe for longer."""
    start = (present.get("start") or {"name": ""})["name"]
    alike = Recipe(**present["recipe"]) == recipe and settings.weights in ("", start)
    long = present["steps"] >= budget["steps"] and (
        bool(budget["steps"]) or present["budget"]["minutes"] >= budget["minutes"]
    )
    return present["finished"] and alike and long


def _session(run: Run, state: State, stop_after: float, checkpoint_seconds: float) -> bool:
    """Train until the budget is spent, ``stop_after`` seconds have gone by, or a signal asks to stop: then True."""
    recipe = run.recipe
    forward = _forward(run)
    draw = examples.source(run.problem, run.network, run.images, recipe.crop)
    truths, data = candidates.images(run.problem, recipe.validation_images)
    started, before, written = time.monotonic(), state.seconds, time.monotonic()
    total = torch.zeros(2, device=run.problem.operator.device)
    cards.note_session(run, state)
    reported = state.step
    with (
        _bar(run, state) as bar,
        _signals() as asked,
        examples.batches(draw, run.settings.seed, state.step, recipe.batch, state.spent) as stream,
    ):
        while run.progress(state) < 1:
            inputs, truth = next(stream)
            total += _step(run, state, forward, inputs, truth)
            state.step += 1
            state.samples += len(truth)
            state.seconds = before + time.monotonic() - started
            last = run.progress(state) >= 1
            due = last or state.step % recipe.validate == 0
            if state.step % REPORT and not due:
                continue
            mean, log_gradient = (total / (state.step - reported)).tolist()
            total.zero_()
            reported = state.step
            if not math.isfinite(mean):
                raise TrainingError(trouble.not_finite(run, state))
            state.losses.append((state.step, mean))
            state.gradient = math.exp(log_gradient)
            if due:
                candidates.validate(run, state, truths, data)
                tqdm.write(cards.line(run, state))
                sys.stdout.flush()
            bar.n = run.progress(state)
            bar.set_description_str(cards.line(run, state))
            enough = asked or time.monotonic() - started > stop_after
            if last or enough or time.monotonic() - written > checkpoint_seconds:
                if not all(bool(parameter.isfinite().all()) for parameter in run.network.parameters()):
                    raise TrainingError(trouble.not_finite(run, state))
                checkpoints.write(run, state)
                written = time.monotonic()
            if enough:
                break
    if not state.best:  # stopped before the first validation
        candidates.validate(run, state, truths, data)
    return bool(asked)


def _forward(run: Run) -> Forward:
    """What is trained: inputs to images. For post-processing the examples have prepared the start."""
    A = run.problem.operator
    call: Forward = getattr(run.network, "refine", lambda y: run.network(y, A))
    return torch.compile(call) if run.recipe.compile else call


def _step(run: Run, state: State, forward: Forward, inputs: Tensor, truth: Tensor) -> Tensor:
    """One step of the optimisers; gives the loss and the logarithm of its gradient's norm, or NaNs if not finite."""
    rate = run.recipe.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, run.progress(state))))
    for optimiser in run.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
    loss = None
    try:
        loss = _loss(run, forward, inputs, truth)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    if loss is None:  # only out here is the memory of the failed attempt free
        run.network.zero_grad(set_to_none=True)
        fits = trouble.largest(len(truth) // 2, lambda n: _loss(run, forward, inputs[:n], truth[:n]))
        raise TrainingError(trouble.too_large(len(truth), fits, run.recipe.crop))
    size = nn.utils.clip_grad_norm_(run.network.parameters(), run.recipe.clip)
    for optimiser in run.optimisers:
        optimiser.step()
    return torch.where(torch.isfinite(size), torch.stack((loss, size.log())), torch.nan)


def _loss(run: Run, forward: Forward, inputs: Tensor, truth: Tensor) -> Tensor:
    """The mean squared error of a batch, with its gradients in the network."""
    run.network.train()
    run.network.zero_grad(set_to_none=True)
    with torch.autocast(truth.device.type, torch.bfloat16, enabled=run.precision == "bfloat16"):
        x = forward(inputs)
    error = x - truth
    loss = (error.abs() if error.is_complex() else error).square().mean()
    loss.backward()
    return loss.detach()


def _precision(recipe: Recipe, device: torch.device) -> str:
    """In what a network is trained: "auto" is bfloat16 where the device has instructions for it."""
    if recipe.precision != "auto":
        return recipe.precision
    on_cuda = device.type == "cuda"
    fast = torch.cuda.is_bf16_supported(False) if on_cuda else torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


def _bar(run: Run, state: State) -> Any:
    layout = "{percentage:3.0f}%|{bar:20}| {desc}"
    return tqdm(total=1.0, initial=run.progress(state), disable=None, bar_format=layout)


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
