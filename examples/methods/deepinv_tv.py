"""deepinv: total variation by its proximal gradient descent."""

from recon_bench.adapters.deepinv import as_method
from recon_bench.core import Log


def model(physics, weight=0.001, iterations=100):
    """Total variation by deepinv's accelerated proximal gradient; the weight is tuned."""
    from deepinv.optim import FISTA, L2, TVPrior

    return FISTA(L2(), TVPrior(n_it_max=5), stepsize=0.9, lambda_reg=weight, max_iter=iterations)


METHODS = (as_method("deepinv-tv", model, search={"weight": Log(1e-4, 0.1)}, depth="iterations"),)
