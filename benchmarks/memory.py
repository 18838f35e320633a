"""What a training step saves for its backward pass, and how often a fixed-point solver evaluates a map: both exact."""

import dataclasses

import torch

from recon_bench import fixed_point
from recon_bench.registry import method, task

SIZE = 64


class Saved:
    """A training step of an untrained network on one image of 64 x 64 pixels."""

    params = (("unrolled-gradient", "equilibrium"), (10, 40))
    param_names = ("method", "depth")
    unit = "bytes"
    timeout = 300

    def track_saved(self, name: str, depth: int) -> int:
        from recon_bench.scoring.host import Host  # these came later than the solvers
        from recon_bench.scoring.sizes import resized

        host = Host(method(name), resized(task("ct-ellipses-30").problem(), SIZE))
        host.set_up_untrained(dataclasses.replace(host.method.settings, depth=depth))
        data = host.problem.train[0].data[None]
        return host.training_memory(data, torch.ones(1, SIZE, SIZE)).saved


class Solver:
    """A linear map of 64 unknowns that contracts by 0.9 at most."""

    params = tuple(fixed_point.SOLVERS)
    param_names = ("solver",)
    unit = "evaluations"

    def track_evaluations(self, name: str) -> int:
        generator = torch.Generator().manual_seed(0)
        rotation, _ = torch.linalg.qr(torch.randn(64, 64, generator=generator, dtype=torch.float64))
        M = rotation @ torch.diag(torch.linspace(0, 0.9, 64, dtype=torch.float64)) @ rotation.T
        b = torch.randn(1, 64, generator=generator, dtype=torch.float64)
        limits = fixed_point.Limits(iterations=500, tolerance=1e-6)
        found = fixed_point.SOLVERS[name](lambda z: z @ M + b, torch.zeros_like(b), limits)
        if not found.converged.all():
            raise ValueError(f"{name} did not converge: its residual is {float(found.residual.max()):.1e}")
        return int(found.evaluations.max())
