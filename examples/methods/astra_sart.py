"""ASTRA: SART among images without negative values."""

from recon_bench.adapters.astra import as_method
from recon_bench.core import Log


def solve(W, y, iterations=200):
    """ASTRA's SART on the CPU with x >= 0; the number of updates is tuned."""
    return W.reconstruct("SART", y, iterations, {"MinConstraint": 0.0})


METHODS = (as_method("astra-sart", solve, search={"iterations": Log(10, 1000, integer=True)}, depth="iterations"),)
