"""Unrolled networks deeper than they were trained: each block that has no weights repeats the last one that has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from recon_bench import learned, weights
from recon_bench.core import Method, Operator, Problem, Reconstructor


def repeating(method: Method, name: str) -> Method:
    """A learned ``method`` with the weights called ``name``, whatever its depth.

    Building it raises :class:`recon_bench.weights.WeightsError` for fewer blocks than the weights have, or where they
    are of another architecture in any other way.
    """

    def build(problem: Problem, settings: Any) -> Reconstructor:
        assert method.network is not None
        made = learned.untrained(method.network, problem, settings)
        weights.install(made, lengthened(weights.load_named(name), made.state_dict()), name)
        made.eval().requires_grad_(False)

        def reconstruct(y: Tensor, A: Operator) -> Tensor:
            return made(y / problem.data_range, A) * problem.data_range

        return reconstruct

    return dataclasses.replace(method, build=build)


def lengthened(state: weights.State, wanted: Iterable[str]) -> weights.State:
    """``state`` and, for each of the ``wanted`` names that it lacks, the tensor of the last block in that place.

    A block is a number in a name: in the place of "steps.12.bias" comes "steps.9.bias" where there are ten steps.
    """
    missing = {key: _last(key, state) for key in wanted if key not in state}
    return state | {key: state[other] for key, other in missing.items() if other in state}


def _last(key: str, state: Iterable[str]) -> str:
    """``key`` with the first number that is too large replaced by the largest that there is in its place."""
    parts, known = key.split("."), [name.split(".") for name in state]
    for place, part in enumerate(parts):
        beside = [name[place] for name in known if len(name) > place and name[:place] == parts[:place]]
        numbers = [int(number) for number in beside if number.isdigit()]
        if part.isdigit() and numbers and int(part) > max(numbers):
            return ".".join([*parts[:place], str(max(numbers)), *parts[place + 1 :]])
    return key
