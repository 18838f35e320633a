"""A plain torch network that corrects filtered backprojection, or the zero-filled image of MRI."""

from torch import nn

from baselines import fbp, zero_filled
from recon_bench.adapters.networks import as_method


def network(channels, width=32):
    """Three convolutions on a quick reconstruction."""
    layers = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))


METHODS = (as_method("plain-network", network, start=fbp.METHODS + zero_filled.METHODS),)
