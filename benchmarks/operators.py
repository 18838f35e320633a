"""Seconds of one application of an operator, and of building one."""

import os
import tempfile

import torch

from recon_bench.operators import MaskedFourier, ParallelBeam, RayTransform, evenly

SMALL = ParallelBeam(128, evenly(30), 183)
LARGE = ParallelBeam(512, evenly(50), 729)


class Ray:
    """The parallel-beam ray transform."""

    params = ("128x128, 30 views, batch 16", "512x512, 50 views, batch 1")
    param_names = ("case",)

    def setup(self, case: str) -> None:
        geometry, batch = {self.params[0]: (SMALL, 16), self.params[1]: (LARGE, 1)}[case]
        self.operator = RayTransform(geometry)
        self.image = torch.rand(batch, geometry.size, geometry.size, generator=torch.Generator().manual_seed(0))
        self.sinogram = self.operator(self.image)

    def time_forward(self, case: str) -> None:
        self.operator(self.image)

    def time_adjoint(self, case: str) -> None:
        self.operator.adjoint(self.sinogram)


class Fourier:
    """Masked Fourier transform of 256 x 256 pixels, every fourth column."""

    def setup(self) -> None:
        self.operator = MaskedFourier((256, 256), tuple(range(0, 256, 4)))
        generator = torch.Generator().manual_seed(0)
        self.image = torch.randn(256, 256, dtype=torch.complex64, generator=generator)
        self.data = self.operator(self.image)

    def time_forward(self) -> None:
        self.operator(self.image)

    def time_adjoint(self) -> None:
        self.operator.adjoint(self.data)


class Build:
    """The matrices of 512 x 512 pixels and 50 views, into an empty cache."""

    number = 1
    repeat = (1, 5, 10.0)

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        os.environ["RECON_BENCH_CACHE"] = self.folder.name

    def teardown(self) -> None:
        self.folder.cleanup()

    def time_build(self) -> None:
        RayTransform(LARGE)

    def peakmem_build(self) -> None:
        RayTransform(LARGE)
