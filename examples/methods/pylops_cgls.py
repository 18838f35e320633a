"""PyLops: damped CGLS."""

from recon_bench.adapters.pylops import as_method
from recon_bench.core import Log
from recon_bench.solvers import operator_norm


def solve(A, y, damping=0.05):
    """50 iterations of CGLS with a penalty on the energy of the image, by PyLops; its weight is tuned."""
    import pylops

    return pylops.cgls(A, y, niter=50, damp=damping * operator_norm(A.operator))[0]


METHODS = (as_method("pylops-cgls", solve, search={"damping": Log(0.005, 0.5)}),)
