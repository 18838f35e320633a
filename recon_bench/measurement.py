"""A measurement: what it is asked to measure, what it reports, and how it wants to be run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from recon_bench.core import Method
from recon_bench.rules import Rules
from recon_bench.storage import digest
from recon_bench.task import Task

SavePicture = Callable[[str, Any, str], None]


@dataclass(frozen=True)
class Cell:
    """What one process measures: a method with its settings on a task under rules, on a device.

    ``at`` is the point of the curve that this process is for, empty where one process measures all. A measurement
    reaches the method through :func:`recon_bench.scoring.host.host` alone; ``home(size, operator, weights)`` leads to
    the process that the method lives in, None where it lives in this one.
    """

    task: Task
    method: Method
    settings: Any
    rules: Rules
    device: torch.device
    at: Mapping[str, float] = field(default_factory=dict)
    home: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Metric:
    """One column of the board. ``better`` says which direction wins; ``digits`` are shown after the point."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    digits: int = 2


@dataclass(frozen=True)
class Record:
    """One row of raw values, or the reason why there are none.

    ``at`` is empty for a scalar and has one key for a curve (``{"depth": 10}``); ``values`` maps metric names to
    numbers; ``error`` says why they are missing; ``note`` warns beside them (not converged).
    """

    sample: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    at: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    error: str | None = None
    note: str | None = None

    @property
    def key(self) -> str:
        """Sample, place and seed as one text, by which a record is known again after an interruption."""
        return json.dumps([self.sample, dict(sorted(self.at.items())), self.seed])


@dataclass(frozen=True)
class Measurement:
    """One kind of measurement.

    ``measure(cell, done, save)`` yields records as they are finished (``cell``: :class:`Cell`),
    leaving out those whose ``key`` is in ``done`` (records that an interrupted run left, by key);
    ``save(name, pixels, caption)`` keeps a picture, uint8 of shape (height, width, 3), beside the result.

    ``protocol``: a frozen dataclass with what is fixed for this kind alone (depths, sizes of perturbations, counts);
    a change of it changes the hash of the measurement, not that of the rules. ``points(cell)``: places of a curve that
    each want a process of their own, several of which may go on at a time; ``measure`` is then called with ``cell.at``
    at one of them. ``weights(method, task)``: a measurement of trained weights says which; it is asked for only where
    there are some, and repeated when they change. ``order``: what comes first within a task, and on a board. ``alone``:
    nothing else may run meanwhile, what was interrupted starts again, and what its time limit stopped is tried once
    more. ``ledger``: its records are the tries of the tuner, not columns or curves.
    ``board``: whether its values stand on the board. ``hidden``: metrics that a board shows only when asked to.
    ``confirm``: how it is found out that changed code still gives its values: from a few "images" measured again, by a
    short new "timing", or as a result that follows from the "accuracy" of the same method.
    """

    name: str
    version: int
    title: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Cell, Mapping[str, Record], SavePicture], Iterator[Record]]
    protocol: Any = None
    points: Callable[[Cell], Sequence[Mapping[str, float]]] | None = None
    weights: Callable[[Method, str], Sequence[str]] | None = None
    order: int = 9
    alone: bool = False
    ledger: bool = False
    board: bool = True
    hidden: tuple[str, ...] = ()
    confirm: Literal["images", "timing", "accuracy"] = "images"

    @property
    def hash(self) -> str:
        """16 hex digits of name, version, metrics and protocol; results of two hashes never share a column."""
        content = {"name": self.name, "version": self.version, "metrics": [m.name for m in self.metrics]}
        return digest(content if self.protocol is None else {**content, "protocol": dataclasses.asdict(self.protocol)})
