"""deepinv: its U-Net on the backprojection, trained here."""

from recon_bench.adapters.deepinv import as_method
from recon_bench.recipe import Recipe


def model(physics, scales=3):
    """deepinv's U-Net on the adjoint of the data."""
    from deepinv.models import ArtifactRemoval, UNet

    channels = physics.img_size[0]
    return ArtifactRemoval(UNet(channels, channels, scales=scales), mode="pinv")


METHODS = (as_method("deepinv-unet", model, Recipe(steps=10_000, batch=4)),)
