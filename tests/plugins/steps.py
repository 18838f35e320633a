"""A method to test with: gradient steps, as many as its depth, that autograd can follow."""

from dataclasses import dataclass

from recon_bench.core import Method
from recon_bench.solvers import operator_norm


@dataclass(frozen=True)
class Settings:
    depth: int = 5


def build(problem, settings):
    step = 1 / operator_norm(problem.operator) ** 2

    def reconstruct(y, A):
        x = step * A.adjoint(y)
        for _ in range(settings.depth):
            x = (x - step * A.adjoint(A(x) - y)).relu()
        return x

    return reconstruct


METHODS = (
    Method("steps", "Steps", "iterative", "Projected gradient steps.", "none", build, Settings(), depth="depth"),
)
