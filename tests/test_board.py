import dataclasses
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from recon_bench import registry
from recon_bench.results import Result, ResultError, load
from recon_bench.results.traits import TRAITS
from recon_bench.rules import QUICK
from recon_bench.tables.board import FIXED, board, curves, ledger, pareto, raw, task_names
from recon_bench.tables.times import machines
from tests.helpers_results import (
    MACHINE,
    METHODS,
    NOT_CONVERGED,
    NOTED,
    TROUBLE,
    hex16,
    make_cell,
    record,
    write_tree,
)

TASK = "ct-ellipses-30"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> list[Result]:
    return load(write_tree(tmp_path_factory.mktemp("results"), images=12))[0]


def cells(*methods: str, kinds=("accuracy", "runtime"), **kwargs) -> list[Result]:
    return [make_cell(TASK, 1, method, kind, images=12, **kwargs) for method in methods for kind in kinds]


def elsewhere(result: Result, day: str = "2027-01-01") -> Result:
    machine = {**MACHINE, "id": "fedcba9876543210", "cpu": "Other CPU"}
    return dataclasses.replace(
        result, provenance={**result.provenance, "machine": machine, "started": f"{day}T00:00:00Z"}
    )


def other_kind(
    kind: str, method: str, metric: str, records: list[dict], unit: str = "", better: str = "lower"
) -> Result:
    metrics = [{"name": metric, "title": metric, "unit": unit, "better": better, "digits": 1}]
    measurement = {"version": 1, "hash": hex16(kind), "title": kind, "metrics": metrics}
    made = make_cell(TASK, 1, method, "accuracy")
    return dataclasses.replace(made, kind=kind, measurement=measurement, records=records, images={})


def row(frame: pd.DataFrame, method: str) -> pd.Series:
    return frame.set_index("method").loc[method]


def test_every_method_has_a_row_and_the_ranked_come_first(results):
    frame = board(results, TASK).frame
    assert sorted(frame["method"]) == sorted(METHODS)
    assert list(frame.columns[: len(FIXED)]) == list(FIXED)
    ranked = frame["rank"].notna()
    assert ranked.tolist() == sorted(ranked, reverse=True)
    assert frame["rank"].dropna().is_monotonic_increasing
    assert frame["psnr"][ranked].is_monotonic_decreasing
    assert set(frame["method"][~ranked]) == set(TROUBLE)


def test_what_failed_says_why_and_has_no_mean(results):
    frame = board(results, TASK).frame
    for method, (status, reason) in TROUBLE.items():
        assert row(frame, method)[["status", "reason"]].tolist() == [status, reason]
        assert pd.isna(row(frame, method)["psnr"]) and pd.isna(row(frame, method)["rank"])
    assert row(frame, "kaczmarz")["images"] == 10
    assert NOT_CONVERGED in row(frame, NOTED)["notes"]


def test_values_are_means_over_images_with_their_interval(results):
    made = board(results, TASK)
    [cell] = [r for r in results if r is made.cells["fbp", "accuracy"]]
    values = [r["values"]["psnr"] for r in cell.records]
    fbp = row(made.frame, "fbp")
    assert fbp["psnr"] == pytest.approx(np.mean(values))
    assert min(values) < fbp["psnr_low"] < fbp["psnr"] < fbp["psnr_high"] < max(values)


def test_times_are_medians_beside_that_of_fbp(results):
    made = board(results, TASK)
    fbp, cgls = row(made.frame, "fbp"), row(made.frame, "cgls")
    assert fbp["times_fbp"] == 1 and cgls["times_fbp"] == cgls["seconds"] / fbp["seconds"] > 5
    assert cgls["applications"] == 162
    [cell] = [r for r in results if r is made.cells["cgls", "runtime"]]
    times = [r["values"]["seconds"] for r in cell.records if "seconds" in r["values"]]
    assert cgls["seconds"] == pytest.approx(np.median(times))
    assert fbp["seconds_low"] <= fbp["seconds"] <= fbp["seconds_high"]
    assert fbp["setup_seconds"] == pytest.approx(0.1)
    titles = {column.name: column.kind for column in made.columns}
    assert {titles[name] for name in ("seconds", "setup_seconds", "batch_seconds", "times_fbp")} == {"runtime"}


def again(result: Result, note: str | None = None) -> Result:
    """A timing as it is measured now."""
    kind = registry.measurement("runtime")
    metrics = [dataclasses.asdict(metric) for metric in kind.metrics]
    traits = {**TRAITS, "order": kind.order, "alone": kind.alone, "hidden": list(kind.hidden)}
    header = {"version": kind.version, "hash": kind.hash, "title": kind.title, "metrics": metrics, "traits": traits}
    found = [{**r, "note": note} for r in result.records if "fbp_seconds" not in r["values"]]
    found.append(record("load", {"others": 0.3, "load_average": 1.0, "cores": 2.0}))
    return dataclasses.replace(result, measurement=header, records=found)


def test_times_of_the_present_version_are_compared_with_fbp_among_themselves():
    accuracy, runtime = cells("fbp", "cgls", kinds=("accuracy",)), cells("fbp", "cgls", kinds=("runtime",))
    made = board([*accuracy, *runtime, *map(again, runtime)], TASK)
    fbp, cgls = row(made.frame, "fbp"), row(made.frame, "cgls")
    assert fbp["times_fbp"] == 1 and cgls["times_fbp"] == cgls["seconds"] / fbp["seconds"]
    assert {"others", "load_average", "cores", "setup_seconds"} < made.hidden and "fbp_seconds" not in made.frame
    assert {cell.measurement["version"] for (_, kind), cell in made.cells.items() if kind == "runtime"} == {2}


def test_a_board_of_mri_has_multiples_of_zero_filling():
    fbp, *others = map(again, cells("fbp", "zero-filled", "cgls", kinds=("runtime",)))
    fbp = dataclasses.replace(fbp, status="not-applicable", reason="no rays", records=[])
    frame = board([fbp, *others], TASK).frame
    assert row(frame, "zero-filled")["times_fbp"] == 1 and row(frame, "cgls")["times_fbp"] != 1
    assert pd.isna(row(frame, "fbp")["times_fbp"])


@pytest.mark.parametrize("where", [{"threads": 8}, {"device": "cuda:0"}, {"backend": "triton"}])
def test_without_fbp_on_the_same_machine_and_threads_there_is_no_multiple(where):
    fbp, *others = map(again, cells("fbp", "cgls", "tikhonov", kinds=("runtime",)))
    fbp = dataclasses.replace(fbp, provenance={**fbp.provenance, **where})
    for found in ([fbp, *others], [elsewhere(fbp), *others], others):
        frame = board(found, TASK).frame
        assert "times_fbp" not in frame and row(frame, "cgls")["seconds"] > 0


def test_a_timing_on_a_loaded_machine_says_so_on_the_board():
    note = "timed on a loaded machine: others used 0.50 cores"
    frame = board([*cells("fbp", kinds=("accuracy",)), again(cells("fbp", kinds=("runtime",))[0], note)], TASK).frame
    assert note in row(frame, "fbp")["notes"]


def test_the_order_of_results_changes_nothing(results):
    shuffled = random.Random(0).sample(results, len(results))
    for task in task_names(results):
        pd.testing.assert_frame_equal(board(results, task).frame, board(shuffled, task).frame)


def test_versions_of_a_task_never_mix(results):
    made = board(results, TASK)
    assert made.version == 2
    assert {cell.task["version"] for cell in made.cells.values()} == {2}
    assert made.notes[0].startswith("6 older results")


def test_rules_and_measurements_never_mix():
    full = cells("fbp", "cgls")
    quick = cells("fbp", rules=QUICK)
    old = cells("tikhonov")
    old = [dataclasses.replace(r, measurement={**r.measurement, "hash": hex16("new"), "version": 2}) for r in old]
    assert list(board([*full, *quick], TASK, "quick").frame["method"]) == ["fbp"]
    assert set(board([*full, *quick], TASK).frame["method"]) == {"fbp", "cgls"}
    made = board([*full, *old], TASK)
    assert list(made.frame["method"]) == ["tikhonov"]
    assert "4 older results" in made.notes[0]


def test_runtime_of_another_machine_is_noted_and_not_compared():
    here = cells("fbp", "cgls")
    there = [elsewhere(r) for r in cells("tikhonov")]
    made = board([*here, *there], TASK)
    other = row(made.frame, "tikhonov")
    assert pd.isna(other["seconds"]) and "Other CPU" in other["notes"]
    assert other["rank"] >= 1 and other["psnr"] > 0  # accuracy does not depend on the machine
    assert made.frame["seconds"].notna().sum() == 2
    assert any("Example CPU" in note for note in made.notes)


def test_the_newest_of_two_machines_counts_where_both_measured_as_much():
    here, there = cells("fbp", "cgls"), [elsewhere(r) for r in cells("fbp", "cgls")]
    assert {cell.provenance["machine"]["cpu"] for cell in board([*here, *there], TASK).cells.values()} == {"Other CPU"}


def newer(result: Result) -> Result:
    return dataclasses.replace(result, measurement={**result.measurement, "hash": hex16("newer"), "version": 9})


def test_a_newer_version_on_another_machine_takes_nothing_from_the_column():
    here = cells("fbp", "cgls", "tikhonov")
    there = [newer(elsewhere(r)) for r in cells("fbp", "cgls", kinds=("runtime",))]
    made = board([*here, *there], TASK)
    assert made.frame["seconds"].notna().sum() == 3
    assert {cell.provenance["machine"]["cpu"] for cell in made.cells.values()} == {"Example CPU 3000"}
    assert {other.stem for other in made.others} == {result.stem for result in there}
    assert len(raw([*here, *there], TASK, "runtime")) == len(raw(here, TASK, "runtime"))


def test_a_newer_version_that_depends_on_no_machine_takes_the_place_of_all():
    def free(result):
        metrics = [{**metric, "unit": ""} for metric in result.measurement["metrics"]]
        return dataclasses.replace(result, measurement={**result.measurement, "metrics": metrics})

    here = cells("fbp", "cgls", "tikhonov")
    made = [newer(free(r)) for r in cells("fbp", kinds=("runtime",))]
    made += [newer(free(elsewhere(r))) for r in cells("cgls", kinds=("runtime",))]
    found = board([*here, *made], TASK)
    timed = {cell.method["name"]: cell for (_, kind), cell in found.cells.items() if kind == "runtime"}
    assert set(timed) == {"fbp", "cgls"} and all(cell.measurement["version"] == 9 for cell in timed.values())
    assert {cell.provenance["machine"]["cpu"] for cell in timed.values()} == {"Example CPU 3000", "Other CPU"}


def test_times_of_every_machine_stand_side_by_side():
    here = cells("fbp", "cgls", "tikhonov")
    there = [newer(elsewhere(r)) for r in cells("cgls", kinds=("runtime",))]
    first, second = machines(board([*here, *there], TASK))
    assert ("Example CPU" in first.where, "Other CPU" in second.where) == (True, True)
    assert set(first.values) == {"fbp", "cgls", "tikhonov"} and set(second.values) == {"cgls"}
    assert second.version == 9 and second.values["cgls"]["seconds"] == first.values["cgls"]["seconds"]
    assert first.values["fbp"]["times_fbp"].value == 1 and "times_fbp" not in second.values["cgls"]


def test_times_of_an_earlier_machine_stay_where_the_version_is_the_same():
    here = [elsewhere(r) for r in cells("fbp", "cgls", "tikhonov", kinds=("runtime",))]
    first, second = machines(board([*here, *cells("cgls", kinds=("accuracy", "runtime"))], TASK))
    assert ("Other CPU" in first.where, "Example CPU" in second.where) == (True, True)
    assert set(first.values) == {"fbp", "cgls", "tikhonov"} and set(second.values) == {"cgls"}


def test_methods_that_cannot_be_told_apart_share_a_rank():
    first, twin, worse = cells("tv-isotropic", "tv-anisotropic", "fbp", kinds=("accuracy",))
    twin = dataclasses.replace(twin, records=first.records)
    assert board([worse, first, twin], TASK).frame["rank"].tolist() == [1, 1, 3]


def test_a_method_that_lacks_images_is_not_ranked():
    whole, part = cells("fbp", "tv-isotropic", kinds=("accuracy",))
    part = dataclasses.replace(part, records=part.records[:5])
    frame = board([whole, part], TASK).frame
    assert frame["method"].tolist() == ["fbp", "tv-isotropic"]
    assert row(frame, "tv-isotropic")["status"] == "partial"
    assert "7 of 12" in row(frame, "tv-isotropic")["reason"]
    assert pd.isna(row(frame, "tv-isotropic")["psnr"])


def test_seeds_are_averaged_before_images():
    [cell] = cells("sgd-like", kinds=("accuracy",))
    again = [{**r, "seed": 1, "values": {k: v + 1 for k, v in r["values"].items()}} for r in cell.records]
    once, twice = (board([c], TASK).frame for c in (cell, dataclasses.replace(cell, records=[*cell.records, *again])))
    assert twice["psnr"][0] == pytest.approx(once["psnr"][0] + 0.5)
    assert twice["images"][0] == once["images"][0]


def test_a_method_without_accuracy_still_has_a_row():
    frame = board(cells("fbp") + cells("cgls", kinds=("runtime",)), TASK).frame
    assert row(frame, "cgls")["status"] == "not measured"
    assert row(frame, "cgls")["seconds"] > 0


def test_a_failed_runtime_is_a_note_beside_a_ranked_method():
    accuracy, runtime = cells("fbp")
    runtime = dataclasses.replace(runtime, status="timeout", reason="took too long", records=[])
    frame = board([accuracy, runtime], TASK).frame
    assert frame["rank"][0] == 1 and "took too long" in frame["notes"][0]


def test_few_images_are_said_to_be_few():
    made = board([make_cell(TASK, 1, "fbp", "accuracy", images=2)], TASK)
    assert any("only 2 images" in note for note in made.notes)


def test_a_new_kind_with_scalars_shows_up_and_never_takes_the_name_of_another():
    attack = [record(f"test-{i:04d}", {"psnr": 10.0 + i}) for i in range(12)]
    made = board([*cells("fbp"), other_kind("robustness", "fbp", "psnr", attack, "dB", "higher")], TASK)
    assert {column.name: column.kind for column in made.columns}["robustness_psnr"] == "robustness"
    fbp = row(made.frame, "fbp")
    assert fbp["robustness_psnr"] == pytest.approx(15.5) and fbp["psnr"] > 18


def test_a_new_kind_with_one_place_is_a_curve_and_no_column():
    points = [record("", {"peak": 100.0 * depth}, {"depth": depth}) for depth in (1, 2, 4)]
    found = [*cells("fbp"), other_kind("memory", "fbp", "peak", points, "MiB")]
    assert "peak" not in board(found, TASK).frame
    curve = curves(found, TASK, "memory")
    assert curve["at"].tolist() == [1, 2, 4] and curve["value"].tolist() == [100, 200, 400]
    assert set(curve["axis"]) == {"depth"} and set(curve["method"]) == {"fbp"}
    assert curves(found, TASK).equals(curve)  # tuning is no curve
    assert curves(cells("fbp"), TASK).empty


def test_raw_values_of_every_record(results):
    frame = raw(results, TASK)
    assert len(frame) == 8 * 12 + 12 + 6  # the partial one has all, the one that timed out half
    assert frame.query("method == 'kaczmarz'")["error"].notna().sum() == 2
    assert {"psnr", "ssim", "note", "sample", "seed"} <= set(frame)
    assert raw(results, TASK, "tuning")["at_weight"].notna().all()
    assert raw(results, "nothing").empty


def test_the_ledger_counts_each_evaluation_and_marks_one(results):
    tuning = board(results, TASK).cells["fbp", "tuning"]
    found = ledger(tuning)
    assert found["evaluation"].tolist() == list(range(1, 13))
    assert found["chosen"].sum() == 1
    assert found.loc[found["chosen"], "weight"].item() == tuning.method["settings"]["weight"]
    assert ledger(dataclasses.replace(tuning, records=[])).empty


def tuned(settings: dict, *tries: tuple[dict, float | None]) -> pd.Series:
    """Which of the tries (settings by number, score) a ledger marks that chose ``settings``."""
    made = make_cell(TASK, 1, "fbp", "tuning")
    records = [record("validation", {} if score is None else {"psnr": score}, at) for at, score in tries]
    return ledger(dataclasses.replace(made, method={**made.method, "settings": settings}, records=records))["chosen"]


@pytest.mark.parametrize(
    ("settings", "tries", "expected"),
    [
        ({"sweeps": 2}, [({"sweeps": 2.0}, 20.0), ({"sweeps": 9.0}, 20.004)], [True, False]),  # the header decides
        ({"sweeps": 3}, [({"sweeps": 2.0}, 20.0), ({"sweeps": 9.0}, 20.004)], [False, False]),
        ({"sweeps": 2}, [({"sweeps": 2.0}, None), ({"sweeps": 9.0}, 20.0)], [False, False]),
        (
            {"filter": "hann", "cutoff": 0.8},
            [
                ({"filter": 0.0, "cutoff": 0.8}, 1.0),
                ({"filter": 4.0, "cutoff": 0.8}, 2.0),
                ({"filter": 4.0, "cutoff": 0.5}, 3.0),
            ],
            [False, True, False],
        ),
        ({"order": 8}, [({"order": 0.0}, 1.0), ({"order": 2.0}, 2.0)], [False, True]),  # a choice among numbers
    ],
)
def test_the_ledger_marks_what_the_header_says(settings, tries, expected):
    assert tuned(settings, *tries).tolist() == expected


def test_no_row_beats_one_of_the_front_in_both():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"seconds": rng.uniform(size=50).round(1), "psnr": rng.uniform(size=50).round(1)})
    frame.loc[:4, "psnr"] = np.nan
    front = pareto(frame)
    for index, this in frame.iterrows():
        other = frame.drop(index)
        no_worse = (other["seconds"] <= this["seconds"]) & (other["psnr"] >= this["psnr"])
        better = (other["seconds"] < this["seconds"]) | (other["psnr"] > this["psnr"])
        beaten = (no_worse & better).any() or pd.isna(this["psnr"])
        assert not (front[index] and beaten)
        if not beaten:  # rows that are equal in both share one place of the front
            equal = (frame["seconds"] == this["seconds"]) & (frame["psnr"] == this["psnr"])
            assert front[equal].any()
    assert not pareto(frame, cost="bytes").any()


def test_a_task_where_nothing_worked():
    made = board([make_cell(TASK, 1, "sgd", "accuracy")], TASK)
    assert made.frame["status"].tolist() == ["failed"] and made.columns == ()


def test_an_unknown_task_names_the_nearest(results):
    with pytest.raises(ResultError, match="did you mean 'ct-ellipses-30'"):
        board(results, "ct-elipses-30")


def test_tables_need_no_torch():
    code = (
        "import sys, recon_bench.tables.published, recon_bench.results.check, recon_bench.cli.main\n"
        "recon_bench.cli.main.parser()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
