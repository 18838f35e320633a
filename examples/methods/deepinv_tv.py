"""deepinv: total variation by its proximal gradient descent."""

from recon_bench.adapters.deepinv import as_method
from recon_bench.core import Log


def model(physics, weight=0.001, iterations=100):
    """Total variation by deepinv's accelerated proximal gradient; the weight is tuned."""
    from deepinv.optim import FISTA, DataFidelity, TVPrior
    from deepinv.optim.distance import L2Distance

    misfit, uncosted = DataFidelity(L2Distance()), lambda *_: 0.0  # so that an iteration takes A and its adjoint once
    tv = TVPrior(n_it_max=5)
    tv.TVModel.tau = 0.2  # a step with which five iterations do something; deepinv's own is 0.01
    return FISTA(misfit, tv, weight, 0.9, max_iter=iterations, cost_fn=uncosted)


METHODS = (as_method("deepinv-tv", model, search={"weight": Log(1e-4, 0.1)}, depth="iterations"),)
