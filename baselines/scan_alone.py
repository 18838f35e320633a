"""Three networks that saw the slices of one scan as they are and nothing else.

The networks of the same names without "-scan-alone" are trained on changed slices and invented bodies, as
``recon_bench/data/varied.py`` draws them. Beside each other they show what that brings on scans of other people, and
what it costs at home.
"""

from __future__ import annotations

from baselines import learned_primal_dual, unet, unrolled
from recon_bench import learned

METHODS = tuple(
    learned.on_scan_alone(method) for method in (unet.UNET, learned_primal_dual.PRIMAL_DUAL, unrolled.METHODS[0])
)
