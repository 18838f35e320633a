import math

import numpy as np
import pytest
import torch

from recon_bench.data.ellipses import EllipseLaw, Stream, averaged, sampled, sinogram
from recon_bench.data.shepp_logan import shepp_logan
from recon_bench.operators import ParallelBeam, RayTransform, evenly
from recon_bench.tasks import ct_ellipses, ct_ellipses_sparse, ct_shepp_logan

TILTED = np.array([[1.0, 0.5, 0.2, 0.2, -0.3, 0.7], [0.5, 0.15, 0.3, -0.4, 0.35, -0.4]])


def inside(ellipse, x, y):
    _, a, b, x0, y0, angle = ellipse
    along = math.cos(angle) * (x - x0) + math.sin(angle) * (y - y0)
    across = math.cos(angle) * (y - y0) - math.sin(angle) * (x - x0)
    return (along / a) ** 2 + (across / b) ** 2 <= 1


def value_at(ellipses, x, y):
    return sum(ellipse[0] * inside(ellipse, x, y) for ellipse in ellipses)


@pytest.mark.parametrize(
    ("law", "mean_value", "mean_count"),
    [(ct_ellipses.LAW, 0.3, 40), (ct_shepp_logan.LAW, 0.0, 50)],
)
def test_drawn_parameters_follow_their_law(law, mean_value, mean_count):
    drawn = [law.draw(np.random.default_rng(i)) for i in range(300)]
    counts, all_of_them = [len(d) for d in drawn], np.concatenate(drawn)
    assert np.mean(counts) == pytest.approx(mean_count, abs=1.5)
    assert np.var(counts) == pytest.approx(mean_count, rel=0.3)
    value, a, b, x, y, angle = all_of_them.T
    assert value.mean() == pytest.approx(mean_value, abs=0.02)
    assert a.mean() == pytest.approx(0.2, rel=0.05)
    assert b.mean() == pytest.approx(0.2, rel=0.05)
    reach = law.centre[2]
    assert np.abs([x, y]).max() <= reach
    assert np.std([x, y]) == pytest.approx(reach / math.sqrt(3), rel=0.05)
    assert 0 <= angle.min() < 0.01 < 2 * math.pi - 0.01 < angle.max() <= 2 * math.pi


def test_values_are_products_and_the_count_is_capped():
    law = EllipseLaw(
        value=(("uniform", 2.0, 2.0), ("uniform", 3.0, 3.0)),
        axis=("uniform", 0.1, 0.2),
        centre=("uniform", -0.5, 0.5),
        count=("poisson", 1000.0),
        most=7,
    )
    phantom = law.draw(np.random.default_rng(0))
    assert phantom.shape == (7, 6)
    assert (phantom[:, 0] == 6).all()


def test_ellipses_beyond_the_radius_are_left_out():
    law = ct_ellipses_sparse.LAW
    phantoms = [law.draw(np.random.default_rng(i)) for i in range(50)]
    theta = np.linspace(0, 2 * np.pi, 181)
    for value, a, b, x, y, angle in np.concatenate(phantoms):
        edge = (x + 1j * y) + np.exp(1j * angle) * (a * np.cos(theta) + 1j * b * np.sin(theta))
        assert np.abs(edge).max() <= 0.95 + 1e-9
        assert value > 0
    assert min(len(p) for p in phantoms) >= 3


def test_published_ellipses_are_drawn_one_after_the_other():
    r = np.random.RandomState(1)
    for _ in range(4):
        v = r.uniform(-0.4, 1.0, 70)
        a1 = 0.2 * r.exponential(1.0, 70)
        a2 = 0.2 * r.exponential(1.0, 70)
        x = r.uniform(-0.9, 0.9, 70)
        y = r.uniform(-0.9, 0.9, 70)
        rot = r.uniform(0.0, 2 * np.pi, 70)
        n = min(r.poisson(40), 70)
    expected = np.stack((v, a1, a2, x, y, rot), axis=1)[:n]
    np.testing.assert_array_equal(ct_ellipses.PHANTOMS["test"][3], expected)


def test_a_stream_is_the_same_in_any_order():
    forward = Stream(ct_ellipses.LAW, 5)
    in_order = [forward[i] for i in range(40)]
    other = Stream(ct_ellipses.LAW, 5)
    for i in (39, 0, 16, 15, 17, 32, 39, 3):
        np.testing.assert_array_equal(other[i], in_order[i])
    with pytest.raises(IndexError, match="from 0"):
        other[-1]


def test_point_samples_have_the_corners_of_the_square_on_corner_pixels():
    dot = np.array([[2.0, 0.01, 0.01, 1.0, 1.0, 0.0]])  # right and up
    image = sampled(dot, 16)
    assert image[0, -1] == 2
    assert np.count_nonzero(image) == 1


def test_point_samples_agree_with_the_definition():
    grid = np.linspace(-1, 1, 33)
    expected = value_at(TILTED, grid[None, :], -grid[:, None])
    np.testing.assert_allclose(sampled(TILTED, 33), expected, atol=1e-12)


def test_averaged_pixels_agree_with_heavy_supersampling():
    size, fine = 48, 64
    grid = (np.arange(size * fine) + 0.5) / (size * fine) * 2 - 1
    dense = value_at(TILTED, grid[None, :], -grid[:, None])
    expected = dense.reshape(size, fine, size, fine).mean(axis=(1, 3))
    error = averaged(TILTED, size) - expected
    edge = (expected > 0) & (np.abs(expected - np.round(expected * 2) / 2) > 1e-9)
    assert np.abs(error).max() <= 1 / 64 + 1 / 128
    assert np.sqrt((error[edge] ** 2).mean()) < 0.005
    assert np.abs(error[~edge]).max() < 1 / 64


def test_averaged_pixels_keep_the_area_and_leave_the_outside_exactly_zero():
    image = averaged(TILTED, 64)
    area = sum(value * math.pi * a * b for value, a, b, *_ in TILTED)
    assert image.mean() * 4 == pytest.approx(area, rel=1e-3)
    assert (image[0] == 0).all()
    assert image.min() == 0


def test_averaged_ellipses_are_cut_at_the_border():
    everything = np.array([[3.0, 5.0, 5.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(averaged(everything, 8), 3.0)


def test_chord_through_the_middle_of_a_disc_is_its_diameter():
    disc = np.array([[2.0, 0.5, 0.5, 0.0, 0.0, 0.3]])
    geometry = ParallelBeam(size=64, angles=evenly(5), bins=65, pixel=0.25, spacing=0.25)
    data = sinogram(disc, geometry)
    np.testing.assert_allclose(data[:, 32], 2.0 * 2 * 0.5 * 64 * 0.25 / 2)
    s = 4 * 0.25
    np.testing.assert_allclose(data[:, 36], 2.0 * 2 * math.sqrt((0.5 * 8) ** 2 - s**2))


def test_sinogram_agrees_with_numeric_integration():
    geometry = ParallelBeam(size=20, angles=(0.0, 0.4, math.pi / 2, 2.5), bins=21, pixel=0.1, shift=0.03, spacing=0.09)
    t = np.linspace(-1.6, 1.6, 200_001)
    s = (np.arange(21) - 10) * 0.09 + 0.03
    data = sinogram(TILTED, geometry)
    for i, theta in enumerate(geometry.angles):
        for k in range(0, 21, 4):
            x = s[k] * math.cos(theta) - t * math.sin(theta)
            y = s[k] * math.sin(theta) + t * math.cos(theta)
            assert data[i, k] == pytest.approx(value_at(TILTED, x, y).sum() * (t[1] - t[0]), abs=1e-4)


def test_sinogram_agrees_with_the_ray_transform_of_the_averaged_image():
    geometry = ParallelBeam(size=256, angles=evenly(24, offset=0.05), bins=367, pixel=0.5, spacing=0.5)
    A = RayTransform(geometry, torch.device("cpu"), torch.float64)
    exact = sinogram(TILTED, geometry)
    error = A(torch.from_numpy(averaged(TILTED, 256))).numpy() - exact
    assert np.linalg.norm(error) < 0.01 * np.linalg.norm(exact)


def test_shepp_logan_has_its_known_values():
    image = sampled(shepp_logan(), 257)

    def at(x, y):
        return image[round((1 - y) * 128), round((1 + x) * 128)]

    assert at(0, 0) == pytest.approx(0.2)
    assert at(0, 0.9) == pytest.approx(1.0)
    assert at(0, 0.35) == pytest.approx(0.3)
    assert at(0.22, 0) == pytest.approx(0.0)
    assert at(-0.22, 0) == pytest.approx(0.0)
    assert at(0, -0.1) == pytest.approx(0.3)
    assert at(0.95, 0.95) == 0
    assert image.min() == 0
    assert image.max() == 1
    left, right = (image[:, :128] == 0).sum(), (image[:, 129:] == 0).sum()
    assert left > right  # the larger dark ellipse is on the left
