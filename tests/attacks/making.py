"""What the attacks share: an honest reconstruction, and how a method is made of a function."""

from functools import partial

from recon_bench.core import Method


def honest(y, A):
    """The backprojection, scaled so that it fits the data."""
    x = A.adjoint(y)
    return x * (y * A(x)).sum((-2, -1), keepdim=True) / A(x).square().sum((-2, -1), keepdim=True)


def build(reconstruct, problem, settings):
    return reconstruct


def method(name, reconstruct=honest, **changed):
    """A method that is this function."""
    facts = {"title": name, "family": "direct", "summary": "An attack.", "reference": "none"}
    return Method(name, **{**facts, "build": partial(build, reconstruct), "settings": None, **changed})
