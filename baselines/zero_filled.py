"""Zero-filling: put zeros where nothing was measured and transform back."""

from __future__ import annotations

from dataclasses import dataclass

from recon_bench.core import Method, NotApplicable, Problem, Reconstructor


@dataclass(frozen=True)
class Settings:
    """Nothing to set."""


def build(problem: Problem, settings: Settings) -> Reconstructor:
    """The reconstructor is the adjoint of a masked Fourier transform. NotApplicable for other operators."""
    if not problem.complex:
        raise NotApplicable(f"needs Fourier data, this task measures with {type(problem.operator).__name__}")
    return lambda y, A: A.adjoint(y)


METHODS = (
    Method(
        name="zero-filled",
        title="Zero-filling",
        family="direct",
        summary="The inverse Fourier transform with zeros where nothing was measured.",
        reference="Bernstein, Fain & Riederer, JMRI 14, 2001, doi:10.1002/jmri.1183",
        build=build,
        settings=Settings(),
    ),
)
