"""The ASTRA toolbox: its geometries of our scans, and its algorithms as methods. On the CPU, in float32.

It is GPLv3 and imported only, when it is used. Its parallel beam has our angles, axes and units.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon_bench.adapters import functions, scipy
from recon_bench.core import Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.operators import ParallelBeam
from recon_bench.solvers import remember


def as_method(name: str, function: functions.Function, **facts: Any) -> Method:
    """The method ``name`` that is ``function(W, y, **settings)``.

    It is handed ``W``, ASTRA's ``OpTomo`` of the scan, and ``y`` (views, bins), and gives the image:
    ``W.reconstruct("SIRT", y, iterations)``. ``facts`` are ``search``, ``depth`` and others of :class:`Method`.
    NotApplicable where ASTRA is not installed or the operator is no parallel beam.
    """

    def prepare(problem: Problem, solve: Callable[[Any, NDArray], NDArray]) -> Reconstructor:
        as_optomo(problem.operator)
        return scipy.each(lambda W, y: solve(W, y.reshape(W.sshape)), as_optomo)

    return functions.method(name, function, prepare, facts)


@remember
def as_optomo(A: Operator) -> Any:
    """ASTRA's ``OpTomo`` of the scan of ``A``, with Joseph's weights; also a SciPy ``LinearOperator``.

    NotApplicable where ASTRA is not installed or ``A`` is no parallel beam.
    """
    g = getattr(A, "geometry", None)
    if not isinstance(g, ParallelBeam):
        raise NotApplicable(f"needs a parallel-beam ray transform, this task measures with {type(A).__name__}")
    astra = import_astra()
    half = g.size * g.pixel / 2
    volume = astra.create_vol_geom(g.size, g.size, -half, half, -half, half)
    return astra.OpTomo(astra.create_projector("linear", projection(astra, g), volume))


def import_astra() -> ModuleType:
    """The astra module, or NotApplicable with what to do."""
    try:
        import astra
    except ImportError as error:
        raise NotApplicable("ASTRA is not installed: pip install recon-bench[astra]") from error
    return astra


def projection(astra: ModuleType, g: ParallelBeam) -> Any:
    """ASTRA's geometry of the detector and views."""
    angles = np.array(g.angles)
    if g.shift == 0:
        return astra.create_proj_geom("parallel", g.spacing, g.bins, angles)
    cos, sin = np.cos(angles), np.sin(angles)
    vectors = [sin, -cos, g.shift * cos, g.shift * sin, g.spacing * cos, g.spacing * sin]
    return astra.create_proj_geom("parallel_vec", g.bins, np.stack(vectors, 1))
