"""ODL: Landweber iterations among images without negative values."""

from recon_bench.adapters.odl import as_method
from recon_bench.core import Log
from recon_bench.solvers import operator_norm


def solve(A, y, iterations=50):
    """Landweber's method with x >= 0, by ODL; the number of iterations is tuned."""
    import odl

    x = A.domain.zero()
    odl.solvers.landweber(A, x, y, iterations, omega=1 / operator_norm(A.operator) ** 2)
    return x


METHODS = (as_method("odl-landweber", solve, search={"iterations": Log(5, 200, integer=True)}, depth="iterations"),)
