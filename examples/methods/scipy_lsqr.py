"""SciPy's LSQR, stopped early."""

from scipy.sparse.linalg import lsqr

from recon_bench.adapters.scipy import as_method
from recon_bench.core import Log


def solve(A, y, iterations=10):
    """SciPy's LSQR; the number of iterations is tuned."""
    return lsqr(A, y, iter_lim=iterations)[0]


METHODS = (as_method("scipy-lsqr", solve, search={"iterations": Log(1, 40, integer=True)}, depth="iterations"),)
