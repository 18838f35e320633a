"""PyProximal: total variation by its accelerated proximal gradient, on a PyLops operator."""

from recon_bench.adapters.pylops import as_method
from recon_bench.core import Log
from recon_bench.solvers import operator_norm


def solve(A, y, weight=1e-3, iterations=100):
    """Least squares with total variation, by PyProximal's accelerated proximal gradient; the weight is tuned."""
    import pyproximal

    step = 0.95 / operator_norm(A.operator) ** 2
    misfit = pyproximal.L2(Op=A, b=y)
    tv = pyproximal.TV(dims=A.dims, sigma=weight / step, niter=10)
    descent = pyproximal.optimization.primal.ProximalGradient
    return descent(misfit, tv, A.H @ y * step, tau=step, niter=iterations, acceleration="fista")


METHODS = (as_method("pyproximal-tv", solve, search={"weight": Log(1e-5, 0.1)}, depth="iterations"),)
