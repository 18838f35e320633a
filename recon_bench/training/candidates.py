"""What a training leaves: of the weights it came by, those that did best on the validation images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from recon_bench import quantised, weights
from recon_bench.core import Operator, Problem
from recon_bench.recipe import Recipe
from recon_bench.scoring import metrics
from recon_bench.training import cards
from recon_bench.training.checkpoints import Run, State
from recon_bench.training.rounding import study

CHANGE = 0.02  # dB of the mean PSNR of the validation images, too little to see in a table
BITS = (3, 4, 5, 6, 8, 10)  # fewer than three would change single images by more than their mean tells
STUDIED = 8  # training samples that tell what the layers see


def images(problem: Problem, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` (or all) truths and data of the validation split, in units of the data range.

    ``(n, *domain_shape)`` and ``(n, *range_shape)`` on the operator's device.
    """
    samples = [problem.validation[i] for i in range(min(count, len(problem.validation)))]
    parts = ([s.truth for s in samples], [s.data for s in samples])
    truth, data = (torch.stack(part).to(problem.operator.device) / problem.data_range for part in parts)
    return truth, data


@torch.no_grad()
def psnr(network: nn.Module, A: Operator, truths: Tensor, data: Tensor) -> float:
    """Mean PSNR in dB of the network as it is used: one image at a time, in float32.

    ``truths`` (n, *domain_shape) and ``data`` (n, *range_shape) are in units of the data range; of complex images the
    moduli are compared.
    """
    network.eval()
    found = torch.cat([network(y[None], A) for y in data])
    if found.is_complex():
        found, truths = found.abs(), truths.abs()
    return float(metrics.psnr(truths, found, 1.0).mean())


def validate(run: Run, state: State, truths: Tensor, data: Tensor) -> None:
    """Note in ``state`` the PSNR (dB) of the network as it is, and its weights if no others did better."""
    value = psnr(run.network, run.problem.operator, truths, data)
    if not state.best or value > max(before for _, before in state.validation):
        state.best = {key: tensor.detach().cpu().clone() for key, tensor in run.network.state_dict().items()}
    state.validation.append((state.step, value))


def keep(run: Run, state: State, name: str, present: Mapping[str, Any] | None, replace: bool) -> None:
    """Publish what was trained as ``name``, but never a worse network for a better one, and say what became of it.

    ``present`` is the card of the weights of that name, if there are some; a finished training may ``replace`` better
    ones. The checkpoint of a training that is of no more use is deleted.
    """
    done, (step, best) = run.progress(state) >= 1, max(state.validation, key=lambda point: point[1])
    best, in_vain = round(best, 4), step == 0 and state.start.get("name") == name
    before = _of_present(run, name, present) if present and not (done and replace) else -math.inf
    better = not in_vain and (best > before or (done and best == before))
    if better:
        _publish(run, state)
        print(f"kept as {name}", flush=True)
    if not done:
        print(f"stopped after {state.step} steps; the same command with --resume goes on", flush=True)
    elif better or in_vain:
        if in_vain:
            print(f"{name} stays as it was: nothing did better than what the training started from", flush=True)
        run.file.unlink(missing_ok=True)
    else:
        print(
            f"{name} stays as it was, with {before:.2f} dB on validation images: these have {best:.2f} dB. "
            f"--resume --replace keeps these instead; to forget them, delete {run.file}",
            flush=True,
        )


def _of_present(run: Run, name: str, present: Mapping[str, Any]) -> float:
    """The PSNR of the weights in use, measured anew where their training looked at other validation images."""
    recipe = Recipe(**present["recipe"])
    if (recipe.validation_images, recipe.phantoms) == (run.recipe.validation_images, run.recipe.phantoms):
        return float(present["best"]["psnr"])
    weights.install(run.network, weights.load_named(name), name)
    return round(psnr(run.network, run.problem.operator, *images(run.problem, run.recipe.validation_images)), 4)


def _publish(run: Run, state: State) -> None:
    """Keep the best weights in the fewest bits that change the validation PSNR by less than ``CHANGE``."""
    bits, change, stored = _fewest_bits(run, state.best)
    weights.save(
        run.method.name,
        run.problem.task,
        state.best,
        cards.card(run, state) | {"bits": bits, "rounding_change_db": round(change, 5)},
        run.settings.seed,
        run.variant,
        stored,
    )


def _fewest_bits(run: Run, state: Mapping[str, Tensor]) -> tuple[int, float, dict[str, Tensor]]:
    """Bits of a number, change of the validation PSNR in dB, and what to write."""
    truths, data = images(run.problem, run.recipe.validation_images)
    run.network.load_state_dict(state)
    exact = psnr(run.network, run.problem.operator, truths, data)
    for bits, stored in _forms(run, state):
        run.network.load_state_dict(quantised.decode(stored))
        change = psnr(run.network, run.problem.operator, truths, data) - exact
        if abs(change) < CHANGE or bits == 32:
            return bits, change, stored
    raise AssertionError("full precision is a form")


def _forms(run: Run, state: Mapping[str, Tensor]) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """What may be written of ``state``, by bits of a number in the kernels: from the fewest bits to full precision."""
    run.network.eval()
    rounding = study(run.network, [partial(_pass, run, index) for index in range(min(STUDIED, len(run.problem.train)))])
    for bits in BITS * bool(rounding.layers):
        yield bits, quantised.encode(weights.halved(state), rounding.rounded(bits))
    yield 16, weights.halved(state)
    yield 32, quantised.encode(state, {})


def _pass(run: Run, index: int) -> Tensor:
    """What the network makes of a training sample."""
    y = run.problem.train[index].data.to(run.problem.operator.device) / run.problem.data_range
    return run.network(y[None], run.problem.operator)
