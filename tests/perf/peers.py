"""Projectors of other packages, called as their own documentation does, on one geometry and one batch of images.

Each function gives a :class:`Peer`, or a :class:`PeerOperator`, or the reason why there is none. Images
``(batch, size, size)`` and sinograms ``(batch, views, bins)`` are float32 arrays; a call does the whole batch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon_bench.adapters.deepinv import load
from recon_bench.core import NotApplicable
from recon_bench.operators import ParallelBeam
from recon_bench.operators.autograd import Map, linear

Array = NDArray[np.float32]
Call = Callable[[], object]
Batch = Callable[[Tensor], Tensor]  # of (n, ...)


@dataclass(frozen=True)
class Peer:
    """``forward``, ``adjoint`` (unfiltered backprojection) and ``fbp`` of one batch, by name in the tables."""

    forward: Call
    adjoint: Call
    fbp: Call


def astra(g: ParallelBeam, images: Array, sinograms: Array) -> Peer | str:
    """ASTRA's CPU projector ``linear`` (Joseph's weights, float32) on linked arrays: nothing is copied."""
    try:
        toolbox, volume, beam, projector = _astra_projector(g)
    except ImportError as error:
        return f"{error}; pip install astra-toolbox"

    def prepare(name: str, image_key: str) -> Call:
        runs = []
        for image, sinogram in zip(images, sinograms):
            config = toolbox.astra_dict(name)
            config["ProjectorId"] = projector
            config["ProjectionDataId"] = toolbox.data2d.link("-sino", beam, sinogram.copy())
            config[image_key] = toolbox.data2d.link("-vol", volume, image.copy())
            runs.append(toolbox.algorithm.create(config))
        return lambda: [toolbox.algorithm.run(run) for run in runs]

    return Peer(
        forward=prepare("FP", "VolumeDataId"),
        adjoint=prepare("BP", "ReconstructionDataId"),
        fbp=prepare("FBP", "ReconstructionDataId"),
    )


def _astra_projector(g: ParallelBeam) -> tuple[Any, Any, Any, Any]:
    """ASTRA, its two geometries and its projector; ImportError where it is not installed."""
    toolbox = importlib.import_module("astra")
    volume = toolbox.create_vol_geom(g.size, g.size)
    beam = toolbox.create_proj_geom("parallel", g.spacing, g.bins, np.array(g.angles))
    return toolbox, volume, beam, toolbox.create_projector("linear", beam, volume)


def scikit_image(g: ParallelBeam, images: Array, sinograms: Array) -> Peer | str:
    """``radon`` and ``iradon``, which choose their own bins: about sqrt(2) times the size, as many as ours here."""
    from skimage.transform import iradon, radon

    degrees = np.rad2deg(g.angles)
    columns = [np.ascontiguousarray(sinogram.T) for sinogram in sinograms]

    def back(filter_name: str | None) -> Call:
        options = {"theta": degrees, "filter_name": filter_name, "circle": False, "output_size": g.size}
        return lambda: [iradon(sinogram, **options) for sinogram in columns]

    return Peer(
        forward=lambda: [radon(image, theta=degrees, circle=False, preserve_range=True) for image in images],
        adjoint=back(None),
        fbp=back("ramp"),
    )


def deepinv(g: ParallelBeam, images: Array, sinograms: Array) -> Peer | str:
    """``Tomography`` with its exact adjoint; it too chooses its own bins."""
    try:
        tomography = load().physics.Tomography
    except NotApplicable as error:
        return str(error)
    physics = tomography(angles=torch.tensor(g.angles).rad2deg(), img_width=g.size, circle=False, normalize=False)
    x = torch.from_numpy(images)[:, None]
    y = physics.A(x)
    return Peer(lambda: physics.A(x), lambda: physics.A_adjoint(y), lambda: physics.fbp(y))


@dataclass(frozen=True)
class PeerOperator:
    """A peer's projector as an operator for a network: its adjoint is its backward, as in ours."""

    domain_shape: tuple[int, ...]
    range_shape: tuple[int, ...]
    forward: Batch
    backward: Batch
    device = torch.device("cpu")
    dtype = torch.float32

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, *self._maps())

    def adjoint(self, y: Tensor) -> Tensor:
        return linear(y, *self._maps()[::-1])

    def _maps(self) -> tuple[Map, Map]:
        there = Map(self.forward, self.domain_shape, self.range_shape, self.dtype, "the peer")
        return there, Map(self.backward, self.range_shape, self.domain_shape, self.dtype, "the peer's adjoint")


def astra_operator(g: ParallelBeam) -> PeerOperator | str:
    """ASTRA's CPU projector on one image after the other, as ODL calls it for a batch."""
    try:
        toolbox, _, _, projector = _astra_projector(g)
    except ImportError as error:
        return f"{error}; pip install astra-toolbox"
    tomography = toolbox.OpTomo(projector)

    def each(apply: Callable[[Array], Array]) -> Batch:
        def batch(x: Tensor) -> Tensor:
            images = x.reshape(-1, *x.shape[-2:]).numpy()
            found = torch.from_numpy(np.stack([apply(image) for image in images]))
            return found.reshape(*x.shape[:-2], *found.shape[-2:])

        return batch

    shapes = (g.size, g.size), (len(g.angles), g.bins)
    return PeerOperator(*shapes, each(tomography.FP), each(tomography.BP))


def deepinv_operator(g: ParallelBeam) -> PeerOperator | str:
    """deepinv's ``Tomography`` with its exact adjoint, a batch at a time."""
    try:
        tomography = load().physics.Tomography
    except NotApplicable as error:
        return str(error)
    physics = tomography(angles=torch.tensor(g.angles).rad2deg(), img_width=g.size, circle=False, normalize=False)
    bins, views = physics.A(torch.zeros(1, 1, g.size, g.size)).shape[-2:]

    def batch(apply: Batch) -> Batch:
        def each(x: Tensor) -> Tensor:
            found = apply(x.reshape(-1, 1, *x.shape[-2:]))
            return found.reshape(*x.shape[:-2], *found.shape[-2:]).detach()

        return each

    return PeerOperator(
        (g.size, g.size),
        (views, bins),
        forward=batch(lambda x: physics.A(x).mT),
        backward=batch(lambda y: physics.A_adjoint(y.mT)),
    )


PEERS = {"ASTRA": astra, "scikit-image": scikit_image, "deepinv": deepinv}
OPERATORS = {"ASTRA": astra_operator, "deepinv": deepinv_operator}
