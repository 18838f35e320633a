"""Deblurring: no rays, no k-space, just an operator that is given by a function and its adjoint."""

import torch
from scipy.ndimage import gaussian_filter

from recon_bench.core import Noise
from recon_bench.data.ellipses import sampled
from recon_bench.data.shepp_logan import perturbed
from recon_bench.data.simulation import first_draws, gaussian
from recon_bench.operators import FunctionOperator
from recon_bench.storage import digest
from recon_bench.task import Task, Truth, streams

SIZE, WIDTH, SEED = 64, 1.5, 7  # pixels, pixels, of everything that is random
NOISE = Noise("gaussian", 0.02)


def make_operator(device, dtype):  # the blur is symmetric, so that it is its own adjoint
    f = torch.fft.fftfreq(SIZE, device=device, dtype=dtype)
    gain = torch.exp(-2 * (torch.pi * WIDTH) ** 2 * (f[:, None] ** 2 + f**2))
    blur = lambda x: torch.fft.ifft2(torch.fft.fft2(x) * gain).real  # noqa: E731
    return FunctionOperator((SIZE, SIZE), (SIZE, SIZE), blur, blur, device, dtype)


def draw(split, index):
    return Truth(sampled(perturbed(streams(SEED, split, index)[0]), SIZE))


def measure(truth, rng):  # by another code than the operator's
    return gaussian(gaussian_filter(truth.image, WIDTH, mode="wrap", truncate=6), NOISE.level, rng)


TASKS = (
    Task(
        name="deblurring",
        version=1,
        family="deblurring",
        title="Gaussian blur, 2 % noise",
        description=f"Perturbed Shepp-Logan phantoms, blurred by a Gaussian of {WIDTH} pixels, with white noise.",
        make_operator=make_operator,
        draw=draw,
        measure=measure,
        seed=SEED,
        sizes={"train": 200, "validation": 10, "test": 20},
        noise=NOISE,
        data_range=1.0,
        card={"blur_pixels": WIDTH, "size": SIZE, "seed": SEED, "noise": "2 % of the mean of |clean data|"},
        fingerprint=lambda: digest(first_draws(SEED)),
    ),
)
