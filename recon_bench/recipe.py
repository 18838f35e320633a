"""How a network is trained: the numbers that the training loop reads. Data; no torch."""

from __future__ import annotations

from dataclasses import dataclass

PRECISIONS = ("auto", "bfloat16", "float32")
OPTIMISERS = ("adam", "muon", "soap")


@dataclass(frozen=True)
class Recipe:
    """One training on the mean squared error, its rate falling to 0 along half a cosine.

    ``steps`` of ``batch`` samples; ``optimiser``: "adam", as published for most methods, or "muon" or "soap" for
    convolutions and Adam for the rest; ``rate`` at the start; ``beta2`` of Adam (beta1 is 0.9); gradients are scaled
    down to the global norm ``clip`` (a training prints what they have before). Every ``validate`` steps the first
    ``validation_images`` of the validation split are reconstructed; the weights that did best are kept. ``crop``:
    post-processing networks are trained on random crops of larger images, of this side in pixels; 0 for whole images.
    ``phantoms``: on random ellipses where the task has scans. ``scan_alone``: on the images of the training split as
    they are, never on fresh ones. ``precision``: "auto" (bfloat16 autocast where the
    device has the instructions), "bfloat16" or "float32". ``compile``: with torch.compile.
    """

    steps: int
    batch: int
    optimiser: str = "adam"
    rate: float = 1e-3
    beta2: float = 0.99
    clip: float = 1.0
    validate: int = 500
    validation_images: int = 16
    crop: int = 0
    phantoms: bool = False
    scan_alone: bool = False
    precision: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        at_least_one = (self.steps, self.batch, self.validate, self.validation_images)
        if min(at_least_one) < 1 or self.crop < 0:
            raise ValueError(
                f"expected steps, batch, validate and validation_images of at least 1, no crop < 0: {self}"
            )
        if not (self.rate > 0 and self.clip > 0 and 0 <= self.beta2 < 1):
            raise ValueError(f"expected a rate and a clip above 0 and a beta2 from 0 to below 1: {self}")
        if self.phantoms and self.scan_alone:
            raise ValueError("expected phantoms or scan_alone, not both: one is on no scan, the other on nothing else")
        if self.precision not in PRECISIONS:
            raise ValueError(f"expected a precision of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"expected an optimiser of {', '.join(OPTIMISERS)}, got {self.optimiser!r}")
