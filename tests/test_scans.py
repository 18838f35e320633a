import itertools

import numpy as np
import pytest

from recon_bench.data import scans
from recon_bench.tasks import ct_head, mri_brain


def test_head_is_attenuation_relative_to_water():
    head = scans.head_ct()
    assert head.shape == (108, 256, 256)
    assert head.min() == 0
    assert 2 < head.max() < 4
    brain = head[60, 110:130, 110:130]
    assert brain.mean() == pytest.approx(1.03, abs=0.03)


def test_brain_fills_the_unit_range():
    brain = scans.brain_mri()
    assert brain.shape == (181, 217, 181)
    assert (brain.min(), brain.max()) == (0, 1)


@pytest.mark.parametrize("volume", [scans.head_ct, scans.brain_mri])
def test_a_scan_cannot_be_changed_by_its_user(volume):
    with pytest.raises(ValueError, match="read-only"):
        volume()[0, 0, 0] = 1


@pytest.mark.parametrize(("blocks", "depth"), [(ct_head.BLOCKS, 108), (mri_brain.BLOCKS, 181)])
def test_splits_are_blocks_with_gaps(blocks, depth):
    ranges = sorted(block for split in blocks.values() for block in split)
    assert ranges[0][0] >= 0
    assert ranges[-1][1] <= depth
    for (_, end), (start, _) in itertools.pairwise(ranges):
        assert start - end >= 5


def test_slices_of_blocks():
    assert scans.slices(((0, 2), (7, 9))) == (0, 1, 7, 8)


def test_padding_is_centred_and_keeps_the_image():
    image = np.random.default_rng(0).random((5, 4))
    padded = scans.pad(image, 8)
    assert padded.shape == (8, 8)
    np.testing.assert_array_equal(padded[1:6, 2:6], image)
    assert padded.sum() == pytest.approx(image.sum())
    with pytest.raises(ValueError, match="does not fit"):
        scans.pad(image, 4)


def test_shipped_scans_are_compact_and_have_their_licence_named():
    licences = (scans.FOLDER / "LICENSES.md").read_text(encoding="utf-8")
    files = list(scans.FOLDER.glob("*.npz"))
    assert {f.stem for f in files} == {"head_ct", "brain_mri", "other_ct", "other_mri"}
    for file in files:
        assert file.name in licences
        assert file.stat().st_size < 8e6
        assert len(scans.file_hash(file.stem)) == 64
