"""A network with weights from a file beside this one, as torch.save or safetensors wrote its state."""

from pathlib import Path

from torch import nn

from baselines import fbp, zero_filled
from recon_bench.adapters.networks import from_file


def network(channels):
    """One convolution, with weights of its own."""
    return nn.Conv2d(channels, channels, 3, padding=1)


FILE = Path(__file__).with_name("pretrained_network.pt")
METHODS = (from_file("pretrained-network", network, fbp.METHODS + zero_filled.METHODS, FILE),)
