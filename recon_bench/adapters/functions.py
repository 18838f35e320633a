"""What the adapters share: a method that is a plain function, and libraries that may not be installed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from torch import nn

from recon_bench import learned
from recon_bench.core import Method, NotApplicable, Problem, Reconstructor
from recon_bench.recipe import Recipe

Function = Callable[..., Any]
Prepare = Callable[[Problem, Function], Reconstructor]


def method(name: str, function: Function, prepare: Prepare, facts: Mapping[str, Any]) -> Method:
    """The method ``name`` whose settings are the arguments of ``function`` that have a default.

    ``prepare(problem, solve)`` gives the reconstructor, where ``solve`` is the function with its settings filled in;
    ``facts`` are fields of :class:`Method`, above those that follow from the function.
    """

    def build(problem: Problem, settings: Any) -> Reconstructor:
        return prepare(problem, partial(function, **dataclasses.asdict(settings)))

    return Method(name=name, build=build, settings=settings(function), **described(name, function, facts))


def learned_method(
    name: str,
    function: Function,
    network: Callable[[Problem, Function], nn.Module],
    recipe: Recipe,
    facts: Mapping[str, Any],
) -> Method:
    """The learned method ``name`` whose settings are those of ``function``, with ``seed`` and ``weights``.

    ``network(problem, function)`` gives the untrained network, the settings being filled in.
    """
    own = settings(function)

    def untrained(problem: Problem, settings: Any) -> nn.Module:
        chosen = {field.name: getattr(settings, field.name) for field in dataclasses.fields(own)}
        return network(problem, partial(function, **chosen))

    return learned.method(
        name, untrained, settings(function, seed=0, weights=""), recipe, **described(name, function, facts)
    )


def described(name: str, function: Function, facts: Mapping[str, Any]) -> dict[str, Any]:
    """``facts`` of a method with its title, family, summary (how the function's docstring begins) and reference."""
    summary = (inspect.getdoc(function) or name).splitlines()[0]
    return {"title": name, "family": "outside", "summary": summary, "reference": "none", **facts}


def settings(function: Function, **more: Any) -> Any:
    """The arguments of ``function`` that have a default, and ``more``, as an instance of a frozen dataclass."""
    parameters = inspect.signature(function).parameters.values()
    values = {p.name: p.default for p in parameters if p.default is not p.empty} | more
    return dataclasses.make_dataclass("Settings", values, frozen=True)(**values)


def module(name: str, install: str = "") -> ModuleType:
    """The module ``name``, imported now; NotApplicable, with what to ``pip install``, where it is not there.

    NumPy prints as before: ODL changes that for everybody, and with it the digits of files.
    """
    try:
        with np.printoptions():
            return importlib.import_module(name)
    except ImportError as error:
        raise NotApplicable(f"{name} cannot be imported ({error}): pip install {install or name}") from error
