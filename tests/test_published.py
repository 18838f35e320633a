import dataclasses
import json
import math
from importlib.resources import files

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
    [found] = frame[(frame["task"] == task) & (frame["method"] == method) & (frame["metric"] == metric)]["verdict"]
    return found


def test_every_figure_has_a_source_with_a_doi_and_a_remark():
    frame = published([])
    assert tuple(frame.columns) == COLUMNS
    assert set(frame["verdict"]) == {"not measured"} and frame["ours"].isna().all()
    assert frame["source"].str.contains("https://doi.org/10.").all()
    assert frame["remark"].str.len().gt(0).all()
    assert not frame.duplicated(["task", "method", "metric"]).any()


def test_no_row_has_a_rule_of_its_own():
    data = json.loads((files("recon_bench.tables") / "published.json").read_text(encoding="utf-8"))
    assert data.keys() == {"sources", "rows"}
    assert all(tuple(row) == ("task", "method", "metric", "published", "source", "remark") for row in data["rows"])


ROWS = [tuple(row) for row in published([])[["task", "method", "metric", "published"]].itertuples(index=False)]


@pytest.mark.parametrize(("task", "method", "metric", "figure"), ROWS)
def test_every_row_is_judged_alike_on_both_sides(task, method, metric, figure):
    def ours(decibels):
        return 1 - (1 - figure) * 10 ** (-decibels / 10) if metric == "ssim" else figure + decibels

    told = {
        d: verdict([exactly(task, method, metric, ours(d))], task, method, metric)
        for d in (-0.51, -0.49, 0, 0.49, 0.51)
    }
    assert told == {-0.51: "differs", -0.49: "agrees", 0: "agrees", 0.49: "agrees", 0.51: "differs"}


def exactly(task, method, metric, value):
    """A result whose images all have this value."""
    found = measured(task, method, psnr=25.0, **{metric: value} if metric != "psnr" else {})
    records = [{**r, "values": {**r["values"], metric: value}} for r in found.records]
    return dataclasses.replace(found, records=records)


def test_a_wide_interval_holds_more():
    found = measured("ct-ellipses-30", "fbp", psnr=25.0, ssim=0.6)
    spread = [{**r, "values": {"psnr": 25.0 + 8 * (i % 2 - 0.5)}} for i, r in enumerate(found.records)]
    wide = dataclasses.replace(found, records=spread)
    assert verdict([found], "ct-ellipses-30", "fbp", "psnr") == "differs"
    assert verdict([wide], "ct-ellipses-30", "fbp", "psnr") == "agrees"


def test_the_gap_is_ours_less_the_published_figure():
    frame = published([exactly("ct-ellipses-30", "fbp", "psnr", 25.0)])
    assert list(frame["gap"].dropna()) == [pytest.approx(25.0 - 24.18)]


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
