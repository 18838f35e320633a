"""Changes the data, which are scored with, and the operator, which the next call uses."""

from recon_bench.operators import RayTransform
from tests.attacks.making import honest, method


class Scaled:
    """A projector that gives other data each time it is asked."""

    name = "scaled"

    def __init__(self, other):
        self.project, self.backproject = other.project, lambda y: 1.5 * other.backproject(y)


def reconstruct(y, A):
    x = honest(y, A)
    y.zero_()
    assert isinstance(A, RayTransform)
    object.__setattr__(A, "_projector", Scaled(A._projector))
    return x


METHODS = (method("works-in-place", reconstruct),)
ROW = ("ok", "", "changed the data; .*changed the operator")
