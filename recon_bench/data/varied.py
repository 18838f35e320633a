"""Training images that carry over to other people: scans moved and changed, and bodies made up of ellipses.

A network that sees one head alone learns that head. So six training images in ten are a slice of it turned, zoomed,
stretched, mirrored and given other values, and four have nothing of it: up to sixty ellipses with sharp edges, in each
a slope and a texture of its own. Nothing of this touches validation and test images.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import affine_transform

from recon_bench.data.fresh import filled
from recon_bench.data.simulation import Array

SCANS = 0.6  # the part that comes from a scan
SOFT = (0.8, 1.25)  # soft tissue, in attenuations relative to water
BONE = 1.2


def magnitude(scan: Array, rng: np.random.Generator) -> Array:
    """An MRI magnitude (size, size) with a maximum of 0.4 to 1: ``scan`` of that size changed, or none of it."""
    if rng.random() < SCANS:
        image = moved(scan, rng) ** math.exp(rng.uniform(-0.5, 0.5))
        if rng.random() < 0.2:
            image = np.where(image > 0.05, image.max() - image, image)
    else:
        image = np.abs(rng.uniform(0, 0.6) + invented(scan.shape[0], rng, contrast=(0.02, 0.6)))
        if rng.random() < 0.7:
            image = image * body(scan.shape[0], rng)
    return rng.uniform(0.4, 1) * image / max(float(image.max()), 1e-6)


def attenuation(scan: Array, rng: np.random.Generator, pixel_mm: float) -> Array:
    """Attenuations relative to water (size, size), 0 to 3: ``scan`` of that size changed, or none of it.

    Either has up to forty faint structures in its soft tissue: ellipses with axes of 4 to 40 mm that differ by 10 to
    150 HU.
    """
    size = scan.shape[0]
    if rng.random() < SCANS:
        image = moved(scan, rng)
        image = np.where(image > BONE, BONE + (image - BONE) * rng.uniform(0.6, 1.3), image)
    else:
        inside = body(size, rng)
        tissue = rng.uniform(0.85, 1.1) + invented(size, rng, contrast=(0.005, 0.15))
        bones, cavities = (scattered(size, rng, most=8, radii=(0.02, 0.2)) for _ in range(2))
        image = np.where(bones > 0, tissue + np.abs(bones), tissue)
        image = np.where(cavities > 0.5, rng.uniform(0, 0.3), image) * inside
    image = np.clip(image, 0, 3)
    half = pixel_mm * size / 2
    faint = scattered(size, rng, most=40, radii=(2 / half, 20 / half), contrast=(0.01, 0.15))
    return np.where((image > SOFT[0]) & (image < SOFT[1]), image + faint, image)


def moved(image: Array, rng: np.random.Generator) -> Array:
    """``image`` turned by any angle, mirrored, zoomed by 0.55 to 1.5, stretched and shifted; zero from outside."""
    angle, zoom = rng.uniform(0, 2 * np.pi), float(log_uniform(rng, (0.55, 1.5), 1)[0])
    stretch, mirror = math.exp(rng.uniform(-0.15, 0.15)), rng.choice((-1.0, 1.0))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = turn @ np.diag((stretch / zoom, mirror / (stretch * zoom)))
    middle = (np.array(image.shape) - 1) / 2
    shift = rng.uniform(-0.08, 0.08, 2) * image.shape
    return affine_transform(image, matrix, middle - matrix @ (middle + shift), order=1)


def invented(size: int, rng: np.random.Generator, contrast: tuple[float, float]) -> Array:
    """Five to sixty ellipses (size, size) that add up; the contrast of each, its slope and its texture are random."""
    ellipses = random_ellipses(int(rng.integers(5, 61)), rng, radii=(0.015, 0.6), contrast=contrast)
    grid = np.linspace(-1.0, 1.0, size)
    fields: tuple[Array, ...] = (grid[None, :], grid[:, None], texture(size, rng))
    image = filled(ellipses, size)
    for field, strength in zip(fields, rng.uniform(0, 0.5, 3)):
        changed = ellipses.copy()
        changed[:, 0] *= strength * rng.standard_normal(len(ellipses))
        image += field * filled(changed, size)
    return image


def body(size: int, rng: np.random.Generator) -> Array:
    """One where a large ellipse (size, size) is, zero around it."""
    a, b = rng.uniform(0.45, 0.97, 2)
    x, y = rng.uniform(-0.1, 0.1, 2)
    return filled(np.array([[1.0, a, b, x, y, rng.uniform(0, np.pi)]]), size)


def scattered(
    size: int,
    rng: np.random.Generator,
    most: int,
    radii: tuple[float, float],
    contrast: tuple[float, float] = (0.2, 1.5),
) -> Array:
    """At most ``most`` ellipses (size, size), of both signs, that add up."""
    return filled(random_ellipses(int(rng.integers(0, most + 1)), rng, radii, contrast), size)


def random_ellipses(
    count: int, rng: np.random.Generator, radii: tuple[float, float], contrast: tuple[float, float]
) -> Array:
    """Ellipses (count, 6) as in :mod:`recon_bench.data.ellipses`: axes and contrasts log-uniform, of either sign."""
    value = log_uniform(rng, contrast, count) * rng.choice((-1.0, 1.0), count)
    a, b = log_uniform(rng, radii, count), log_uniform(rng, radii, count)
    radius, direction = 0.9 * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    angle = rng.uniform(0, np.pi, count)
    return np.stack((value, a, b, radius * np.cos(direction), radius * np.sin(direction), angle), axis=1)


def log_uniform(rng: np.random.Generator, limits: tuple[float, float], count: int) -> Array:
    """``count`` numbers between two positive ``limits``."""
    low, high = limits
    return low * (high / low) ** rng.random(count)


def texture(size: int, rng: np.random.Generator) -> Array:
    """Noise (size, size) of standard deviation one whose spectrum falls with a random power of the frequency."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1 / size
    shape = np.fft.rfft2(rng.standard_normal((size, size))) * frequency ** -rng.uniform(0, 2)
    noise = np.fft.irfft2(shape, (size, size))
    return (noise - noise.mean()) / noise.std()
