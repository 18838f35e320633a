"""Forward operators: torch, any device, batch dimensions lead, the adjoint is matched and is the autograd backward."""

from recon_bench.operators.fan import FanBeam, FanTransform
from recon_bench.operators.fourier import MaskedFourier
from recon_bench.operators.geometry import ParallelBeam, evenly
from recon_bench.operators.linear import FunctionOperator, Identity, Matrix
from recon_bench.operators.norm import norm
from recon_bench.operators.ray import RayTransform

__all__ = [
    "FanBeam",
    "FanTransform",
    "FunctionOperator",
    "Identity",
    "MaskedFourier",
    "Matrix",
    "ParallelBeam",
    "RayTransform",
    "evenly",
    "norm",
]
