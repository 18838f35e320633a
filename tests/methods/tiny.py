"""A learned method so small that it trains in seconds."""

from baselines import unet
from recon_bench import learned
from recon_bench.recipe import Recipe

METHODS = (
    learned.method(
        "tiny",
        unet.network,
        unet.Settings(width=2, scales=2),
        Recipe(steps=10, batch=4, validate=5, validation_images=1),
        title="Tiny U-Net",
        family="post-processing",
        summary="A U-Net for tests.",
        reference="none",
    ),
)
