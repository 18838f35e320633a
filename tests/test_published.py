import dataclasses
import math

import pytest

from recon_bench.results import Result
from recon_bench.rules import QUICK
from recon_bench.tables.published import COLUMNS, published
from tests.helpers_results import make_cell


def measured(task: str, method: str, shift: float = 0.0, **values: float) -> Result:
    """An accuracy result whose means are `values`, give or take `shift`."""
    cell = make_cell(task, 1, method, "accuracy", images=10)
    spread = [shift + 0.1 * (i % 2 - 0.5) for i in range(10)]
    records = [{**r, "values": {k: v + s for k, v in values.items()}} for r, s in zip(cell.records, spread)]
    return dataclasses.replace(cell, records=records)


def verdict(results: list[Result], task: str, method: str, metric: str) -> str:
    frame = published(results)
    [found] = frame[(frame["task"] == task) & (frame["method"] == method) & (frame["metric"] == metric)]["agrees"]
    return found


def test_every_figure_has_a_source_with_a_doi_and_a_remark():
    frame = published([])
    assert tuple(frame.columns) == COLUMNS
    assert set(frame["agrees"]) == {"not measured"} and frame["ours"].isna().all()
    assert frame["source"].str.contains("https://doi.org/10.").all()
    assert frame["remark"].str.len().gt(0).all()
    assert not frame.duplicated(["task", "method", "metric"]).any()


@pytest.mark.parametrize(("ours", "agrees"), [(24.18, "yes"), (24.45, "yes"), (23.9, "yes"), (24.6, "no"), (20, "no")])
def test_within_a_tolerance(ours, agrees):
    results = [measured("ct-ellipses-30", "fbp", psnr=ours, ssim=0.6)]
    assert verdict(results, "ct-ellipses-30", "fbp", "psnr") == agrees


@pytest.mark.parametrize(("ours", "agrees"), [(28.1, "no"), (28.3, "yes"), (35.0, "yes")])
def test_at_least(ours, agrees):
    results = [measured("ct-ellipses-30", "tv-isotropic-nonneg", psnr=ours)]
    assert verdict(results, "ct-ellipses-30", "tv-isotropic-nonneg", "psnr") == agrees


def test_what_cannot_be_compared_is_shown_without_a_verdict():
    results = [measured("ct-ellipses-50", "fbp", psnr=20.0, rsnr=8.4)]
    assert verdict(results, "ct-ellipses-50", "fbp", "rsnr") == "not compared"


def test_ours_is_the_mean_of_the_board_with_its_interval():
    frame = published([measured("ct-ellipses-30", "fbp", psnr=24.0, ssim=0.6)])
    [fbp] = frame[(frame["method"] == "fbp") & frame["ours"].notna() & (frame["metric"] == "psnr")].to_dict("records")
    assert fbp["ours"] == pytest.approx(24.0)
    assert fbp["low"] < fbp["ours"] < fbp["high"]


def test_what_failed_or_was_only_tried_quickly_is_not_measured():
    fine = measured("ct-ellipses-30", "fbp", psnr=24.18)
    failed = dataclasses.replace(fine, status="failed", reason="no luck", records=[])
    quick = make_cell("ct-ellipses-30", 1, "fbp", "accuracy", rules=QUICK)
    for results in ([failed], [quick], [failed, quick]):
        assert verdict(results, "ct-ellipses-30", "fbp", "psnr") == "not measured"
        assert math.isnan(published(results)["ours"].max())
