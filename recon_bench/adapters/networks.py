"""Plain torch networks, image to image, that correct a quick reconstruction: trained here, or ready from a file.

Images are ``(batch, channels, rows, columns)`` in units of the data range, about [0, 1]: one channel, or two for the
parts of complex numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from recon_bench import learned, weights
from recon_bench.adapters import functions
from recon_bench.core import Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.recipe import Recipe
from recon_bench.storage import sha256

RECIPE = Recipe(steps=10_000, batch=4)


def as_method(
    name: str,
    function: Callable[..., nn.Module],
    start: Sequence[Method],
    recipe: Recipe = RECIPE,
    **facts: Any,
) -> Method:
    """The method ``name`` whose network is ``function(channels, **settings)``, trained by `recon-bench train`.

    The image it starts from is that of the first method in ``start`` that applies, with its settings. ``facts`` are
    fields of :class:`Method`.
    """

    def network(problem: Problem, function: Callable[[int], nn.Module]) -> nn.Module:
        return Correction(_first(start, problem), function(1 + problem.complex))

    return functions.learned_method(name, function, network, recipe, {"family": "post-processing", **facts})


def from_file(
    name: str, function: Callable[..., nn.Module], start: Sequence[Method], file: str | Path, **facts: Any
) -> Method:
    """As :func:`as_method`, with weights from ``file``, a state of the network as torch or safetensors saves it.

    The setting ``sha256`` is that of the file, so that results say which weights they are of. A file that is not there,
    that is damaged or that is of another network is a NotApplicable or WeightsError that says so.
    """
    path = Path(file)

    def build(problem: Problem, settings: Any) -> Reconstructor:
        with torch.random.fork_rng(devices=[]):  # weights that it begins with are drawn, and replaced
            network = function(1 + problem.complex)
        weights.install(network, read(path), str(path))
        whole = Correction(_first(start, problem), network).to(problem.operator.device).eval().requires_grad_(False)
        return lambda y, A: whole(y / problem.data_range, A) * problem.data_range

    found = sha256(path.read_bytes()) if path.is_file() else ""
    described = functions.described(name, function, {"family": "post-processing", **facts})
    return Method(name=name, build=build, settings=functions.settings(function, sha256=found), **described)


def read(path: Path) -> dict[str, Tensor]:
    """The state of a network in the file ``path``, on the CPU; NotApplicable where there is none that can be read."""
    if not path.is_file():
        raise NotApplicable(f"no weights: expected the file {path}")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise half a dozen types for a damaged file
        raise NotApplicable(
            f"{path}: expected the state of a network, by torch.save or safetensors ({error})"
        ) from error
    return found.get("state_dict", found)


class Correction(nn.Module):
    """``(y, A) -> x``: the ``quick`` reconstruction, then ``network``, from images to images."""

    def __init__(self, quick: Reconstructor, network: nn.Module) -> None:
        super().__init__()
        self.quick, self.network = quick, network

    def prepare(self, y: Tensor, A: Operator) -> Tensor:
        """The quick reconstruction ``(batch, *domain_shape)``."""
        with learned.full_precision(y):
            return self.quick(y, A)

    def refine(self, start: Tensor) -> Tensor:
        """``start`` after the network."""
        return learned.from_channels(self.network(learned.to_channels(start)), start.dtype)

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        return self.refine(self.prepare(y, A))


def _first(methods: Sequence[Method], problem: Problem) -> Reconstructor:
    """The reconstructor of the first of ``methods`` that applies; NotApplicable with the reason of the last if none."""
    for method in methods:
        try:
            return method.build(problem, method.settings)
        except NotApplicable as error:
            why = error
    raise NotApplicable(f"nothing to start from: {why}")
