"""One method for each way in which a single bad value could end a run; ``honest`` is beside them."""

import dataclasses
import os
import resource
from functools import partial
from pathlib import Path
from typing import Any

from recon_bench import registry
from recon_bench.core import Method


@dataclasses.dataclass(frozen=True)
class Settings:
    anything: Any = 1.0


def exact(y, A):
    (sample,) = [s for s in registry.task("ct-shepp-logan-30").samples("test") if s.data.equal(y[0])]
    return sample.truth[None]


def no_utf8(y, A):
    raise ValueError("\udcff is no text")


def verbose(y, A):
    raise ValueError("x" * 5_000_000)


def wanders(y, A):
    os.chdir("/")
    return A.adjoint(y)


def leaks(y, A):
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
    try:
        while True:
            os.open("/dev/null", os.O_RDONLY)
    except OSError:
        return A.adjoint(y)


def honest(y, A):
    return A.adjoint(y)


def method(reconstruct, anything=1.0, name=""):
    return Method(
        name=name or reconstruct.__name__.replace("_", "-"),
        title="Troubled",
        family="direct",
        summary="\udcff" if name == "no-title" else "One of the troubled.",
        reference="none",
        build=partial(lambda reconstruct, problem, settings: reconstruct, reconstruct),
        settings=Settings(anything),
    )


METHODS = (
    *map(method, (exact, no_utf8, verbose, wanders, leaks, honest)),
    method(honest, Path("here"), "no-json"),
    method(honest, float("nan"), "no-number"),
    method(honest, name="no-title"),
)
