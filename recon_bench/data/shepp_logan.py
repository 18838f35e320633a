"""The modified Shepp-Logan head phantom (Toft 1996, after Shepp and Logan 1974, doi:10.1109/TNS.1974.6499235)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TABLE = (  # value, semi-axes a and b, centre x and y, angle in degrees
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.8740, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def shepp_logan() -> NDArray[np.float64]:
    """The ten ellipses, an array ``(10, 6)`` as :mod:`recon_bench.data.ellipses` takes them; values in [0, 1]."""
    ellipses = np.array(_TABLE)
    ellipses[:, 5] = np.radians(ellipses[:, 5])
    return ellipses


def perturbed(rng: np.random.Generator) -> NDArray[np.float64]:
    """The modified phantom, each ellipse moved by up to 0.03, stretched by up to 10 %, turned by up to 10 degrees.

    An array ``(10, 6)``. The two ellipses of the skull change together, so that it keeps its thickness.
    """
    ellipses = shepp_logan()
    change = rng.uniform(-1, 1, ellipses.shape)
    change[1] = change[0]
    ellipses[:, 1:3] *= 1 + 0.1 * change[:, 1:3]
    ellipses[:, 3:5] += 0.03 * change[:, 3:5]
    ellipses[:, 5] += np.deg2rad(10) * change[:, 5]
    return ellipses
