"""What learned methods share: the interface of a network, its units and precision, and how it finds its weights.

A learned method is one file that defines

    network(problem, settings) -> nn.Module      # untrained; raises NotApplicable where it cannot run

with ``forward(y, A) -> x``: data ``(batch, *range_shape)`` and the operator to images ``(batch, *domain_shape)``, and
exports ``METHODS = (learned.method(name, ..., network, Settings(), recipe),)``. The rest is here and in training:

- Units. Data arrive divided by the task's data range, so that images lie in about [0, 1]; results are multiplied back.
- Settings: a frozen dataclass with at least ``seed: int = 0`` (which training) and ``weights: str = ""`` (what to take
  instead of the method's own for the task: the name of weights, such as "ct-ellipses-30/unet", or of the method that
  has them, "unet"). ``depth`` counts applications of the pair. A method without a ``recipe`` is not trained itself.
- Channels. Convolutions work on ``(batch, channels, rows, columns)``, complex numbers as two channels: `to_channels`,
  `from_channels`. :class:`Scaled` is the operator on channels, of norm one, in full precision under autocast.
- A post-processing network has ``prepare(y, A) -> start`` without parameters and ``refine(start) -> x``, both
  ``(batch, *domain_shape)``, and ``forward`` is one after the other. It is trained on crops of (start, truth).
- Nothing random in ``forward``; no global random numbers (``network`` is called under a seed); no state between calls.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from recon_bench import weights
from recon_bench.core import Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.recipe import Recipe
from recon_bench.solvers import operator_norm

Network = Callable[[Problem, Any], nn.Module]


def method(name: str, network: Network, settings: Any, recipe: Recipe | None, **facts: Any) -> Method:
    """A learned :class:`Method`; ``facts`` are its title, family, summary, reference and depth."""
    ready = partial(build, name, network, settings)
    return Method(name=name, build=ready, network=network, settings=settings, recipe=recipe, **facts)


def on_phantoms(other: Method) -> Method:
    """``other`` trained on random ellipses alone, to show what a network makes of images unlike those it learned.

    Its network raises NotApplicable where the task has no ``phantoms``.
    """
    assert other.network is not None and other.recipe is not None
    untaught = other.network

    def network(problem: Problem, settings: Any) -> nn.Module:
        if problem.phantoms is None:
            raise NotApplicable("only for tasks of scans that can measure random ellipses as well")
        return untaught(problem, settings)

    return method(
        f"{other.name}-phantoms",
        network,
        other.settings,
        dataclasses.replace(other.recipe, phantoms=True),
        title=f"{other.title}, trained on ellipses",
        family=other.family,
        summary=f"{other.summary} Trained on random ellipses and never on a scan.",
        reference=other.reference,
        depth=other.depth,
    )


def on_scan_alone(other: Method) -> Method:
    """``other`` trained on the training images of its task as they are: what a network learns from one person."""
    assert other.network is not None and other.recipe is not None
    return method(
        f"{other.name}-scan-alone",
        other.network,
        other.settings,
        dataclasses.replace(other.recipe, scan_alone=True),
        title=f"{other.title}, trained on one scan",
        family=other.family,
        summary=f"{other.summary} Trained on the slices of one scan as they are.",
        reference=other.reference,
        depth=other.depth,
    )


def build(name: str, network: Network, default: Any, problem: Problem, settings: Any) -> Reconstructor:
    """The reconstructor with trained weights, on the problem's device in float32; ``default`` settings name them."""
    made = untrained(network, problem, settings)
    source, state = _find(name, made, problem, settings, default)
    weights.install(made, state, source)
    made.eval().requires_grad_(False)

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        return made(y / problem.data_range, A) * problem.data_range

    return reconstruct


def untrained(network: Network, problem: Problem, settings: Any) -> nn.Module:
    """The network with its first weights, which depend on ``settings.seed`` alone, on the problem's device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        made = network(problem, settings)
    return made.to(memory_format=torch.channels_last).to(problem.operator.device)  # type: ignore[call-overload]


def _find(name: str, made: nn.Module, problem: Problem, settings: Any, default: Any) -> tuple[str, weights.State]:
    """The weights to take, with their name; NotApplicable, with what to do, where there are none."""
    found = weights.taken(name, problem.task, settings, default, weights.architecture(made.state_dict()))
    if found is None and settings.weights:
        raise NotApplicable(f"no weights {settings.weights} of seed {settings.seed} in {weights.folder()}")
    if found is None:
        seed = f" --seed {settings.seed}" if settings.seed else ""
        changed = "".join(f" --set {key}={value}" for key, value in weights.changes(settings, default).items())
        raise NotApplicable(f"no weights for this task: recon-bench train {name} --task {problem.task}{seed}{changed}")
    if not settings.weights:
        weights.check_owner(found, name, problem.task)
    return found, weights.load_named(found)


def parameters(network: nn.Module) -> dict[str, int]:
    """How many parameters each layer of the live network has, by name, kind and shape of its weights, in order."""
    found = {}
    for name, layer in network.named_modules():
        if own := list(layer.parameters(recurse=False)):
            found[f"{name} {type(layer).__name__} {tuple(own[0].shape)}"] = sum(p.numel() for p in own)
    return found


def to_channels(x: Tensor) -> Tensor:
    """Real ``(batch, rows, columns)`` to one channel, complex to two: ``(batch, channels, rows, columns)``."""
    return torch.view_as_real(x).movedim(-1, 1) if x.is_complex() else x[:, None]


def from_channels(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``(batch, channels, rows, columns)`` to ``(batch, rows, columns)`` of the real or complex ``dtype``."""
    if dtype.is_complex:
        return torch.view_as_complex(x.movedim(1, -1).contiguous().to(dtype.to_real()))
    return x[:, 0].to(dtype)


def full_precision(x: Tensor) -> contextlib.AbstractContextManager[None]:
    """Switches autocast off on the device of ``x``: for operators, whose sums are long."""
    return torch.autocast(x.device.type, enabled=False)


@dataclass(frozen=True)
class Scaled:
    """``operator`` divided by ``norm``, from and to channels: complex images and data are pairs of channels.

    Real images may have any number of channels; each is an image of its own.
    """

    operator: Operator
    norm: float

    def __call__(self, x: Tensor) -> Tensor:
        """Images ``(batch, channels, *domain_shape)`` to data ``(batch, channels, *range_shape)``."""
        return self._apply(self.operator, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Data ``(batch, channels, *range_shape)`` to images ``(batch, channels, *domain_shape)``."""
        return self._apply(self.operator.adjoint, y)

    def _apply(self, linear: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        dtype = self.operator.dtype
        with full_precision(x):
            if dtype.is_complex:
                return to_channels(linear(from_channels(x, dtype))) / self.norm
            return linear(x.to(dtype)) / self.norm


def norm_of(problem: Problem) -> float:
    """The norm of the problem's operator, computed once for a problem."""
    return operator_norm(problem.operator)
