"""How well equilibria are found: numbers that are known of simple maps, trouble as rows, and where it is shown."""

import dataclasses
import json

import pytest
import torch

from recon_bench import registry
from recon_bench.core import Method, NotApplicable
from recon_bench.fixed_point import Limits
from recon_bench.implicit import Backward, equilibrium
from recon_bench.measurement import Cell
from recon_bench.measurements import backward_rules, fixed_points
from recon_bench.measurements.fixed_points import MEASUREMENT
from recon_bench.results import load, write
from recon_bench.results.check import check
from recon_bench.results.traits import TRAITS
from recon_bench.rules import QUICK
from recon_bench.site.render import render
from recon_bench.tables.board import board
from tests.helpers_results import make_cell, record, write_tree
from tests.helpers_training import TOY

LIMITS = Limits(iterations=60, tolerance=1e-5)
EXACT = Backward("anderson", Limits(iterations=200, tolerance=1e-7))


def scaling(factor, backward=EXACT, solver="anderson", limits=LIMITS):
    """A method whose image is the fixed point of x -> factor x + A* y, of Jacobian ``factor`` times the identity."""
    return finding(lambda x, start: factor * x + start, backward, solver, limits)


def finding(f, backward=EXACT, solver="anderson", limits=LIMITS):
    def build(problem, settings):
        def reconstruct(y, A):
            start = A.adjoint(y)
            return equilibrium(lambda x: f(x, start), start, solver, limits, backward)

        return reconstruct

    return Method("scaling", "Scaling", "equilibrium", "A test.", "none", build, None)


def measured(method, done=()):
    cell = Cell(TOY, method, method.settings, QUICK, torch.device("cpu"))
    return list(fixed_points.measure(cell, {r.key: r for r in done}, lambda *_: None))


def test_of_a_map_that_scales_all_is_known():
    records = measured(scaling(0.5))
    assert [r.sample for r in records] == ["test-0000", "test-0001"]  # the quick rules have two images
    for r in records:
        assert r.values["converged"] == 1 and r.values["residual"] <= 1e-5 and r.note is None and r.error is None
        assert r.values["contraction"] == pytest.approx(0.5, rel=1e-5)
        assert r.values["gradient_error"] < 1e-5
        assert 2 <= r.values["map_evaluations"] < 20 and 2 <= r.values["adjoint_products"] < 20


@pytest.mark.parametrize(
    ("backward", "error", "products"),
    [
        (Backward("jacobian-free"), 0.5, 0),
        (Backward("phantom", steps=3), 0.5**3, 2),  # the first three of the terms 1, 1/2, 1/4, ...
        (Backward("phantom", steps=3, damping=0.5), 0.75**3, 2),
        (Backward("neumann", Limits(iterations=4, tolerance=0.0)), 0.5**4, 4),  # the best iterate, not the next one
    ],
    ids=["jacobian-free", "phantom", "damped", "neumann"],
)
def test_the_gradient_error_is_what_the_rule_leaves_out(backward, error, products):
    for r in measured(scaling(0.5, backward)):
        assert r.values["gradient_error"] == pytest.approx(error, rel=1e-3)
        assert r.values["adjoint_products"] == products


def test_a_tolerance_that_is_never_met_is_not_converged():
    for r in measured(scaling(0.9, limits=Limits(iterations=3, tolerance=1e-12))):
        assert r.values["converged"] == 0 and r.values["residual"] > 1e-12 and r.values["map_evaluations"] == 3
        assert r.values["gradient_error"] < 1e-4


def test_a_map_that_expands_is_told():
    for r in measured(scaling(4.0, solver="picard")):
        assert r.values["converged"] == 0 and r.values["contraction"] == pytest.approx(4, rel=1e-5)
        assert "diverged, and went back to the best point 4 times" in r.note


def test_without_an_exact_gradient_there_is_no_error_but_a_reason():
    for r in measured(scaling(1.0)):
        assert r.values["converged"] == 0 and "gradient_error" not in r.values
        assert r.note.startswith("no exact gradient: |g + J* e - e| / |g| stays at ")


def test_a_gradient_is_exact_where_the_map_expands_and_repels():
    g = torch.randn((1, *TOY.make_operator().domain_shape), generator=torch.Generator().manual_seed(0))
    factors = torch.linspace(-2.0, 0.99, g.shape[1]).reshape(1, -1, 1)  # of each row of pixels
    exact = g / (1 - factors)
    for r in measured(finding(lambda x, start: factors.to(x) * x + start, Backward("jacobian-free"))):
        assert r.values["gradient_error"] == pytest.approx(float((g - exact).norm() / exact.norm()), rel=1e-5)


def test_a_method_of_one_precision_keeps_all_but_the_gradient_error():
    def f(x, start):
        if x.dtype == torch.float64:
            raise TypeError("wants float32")
        return 0.5 * x + start

    for r in measured(finding(f)):
        assert r.note == "no exact gradient: TypeError: wants float32" and r.error is None
        assert r.values["converged"] == 1 and "gradient_error" not in r.values


def test_the_default_type_is_the_usual_one_again():
    measured(scaling(0.5))
    assert torch.get_default_dtype() == torch.float32


def test_a_map_of_nan_is_a_row_that_says_so():
    for r in measured(finding(lambda x, start: x * torch.nan)):
        assert r.values == {"converged": 0, "map_evaluations": 1, "adjoint_products": 1}
        assert r.note.startswith("the map is not finite where the solver starts")


def test_one_image_that_fails_leaves_the_others():
    first = TOY.make_operator().adjoint(TOY.samples("test")[0].data)

    def f(x, start):
        if torch.allclose(start, first):
            raise RuntimeError("lost")
        return 0.5 * x + start

    broken, fine = measured(finding(f))
    assert broken.error.startswith("RuntimeError: lost at ") and not broken.values
    assert fine.error is None and fine.values["converged"] == 1


@pytest.mark.parametrize("name", ["fbp", "tikhonov"])
def test_who_looks_for_no_fixed_point_does_not_apply(name):
    with pytest.raises(NotApplicable, match="looks for no fixed point"):
        measured(registry.method(name))


def test_each_equilibrium_of_an_image_is_a_record():
    once = scaling(0.5)

    def build(problem, settings):
        find = once.build(problem, settings)
        return lambda y, A: find(y, A) + find(2 * y, A)

    samples = [r.sample for r in measured(dataclasses.replace(once, build=build))]
    assert samples == ["test-0000", "test-0000-2", "test-0001", "test-0001-2"]


def test_an_interrupted_run_repeats_no_image():
    records = measured(scaling(0.5))
    assert measured(scaling(0.5), done=records[:1]) == records[1:]


def test_numbers_are_the_same_again():
    assert measured(scaling(0.5)) == measured(scaling(0.5))


def result(name, records, status="ok", reason=None, measurement=MEASUREMENT):
    made = make_cell("ct-ellipses-30", 2, name, "runtime")
    kind = json.loads(json.dumps({"metrics": [dataclasses.asdict(metric) for metric in measurement.metrics]}))
    traits = {**TRAITS, "order": measurement.order, "hidden": list(measurement.hidden), "board": measurement.board}
    kind |= {"version": 1, "hash": measurement.hash, "title": measurement.title, "traits": traits}
    return dataclasses.replace(
        made, kind=measurement.name, measurement=kind, records=records, status=status, reason=reason
    )


@pytest.fixture
def root(tmp_path):
    root = write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["fbp", "cgls", "landweber"], images=2)
    found = {"converged": 1.0, "residual": 4.2e-4, "map_evaluations": 12.0, "adjoint_products": 15.0}
    lost = {"converged": 0.0, "residual": 2e-3, "map_evaluations": 49.0, "adjoint_products": 15.0}
    known = {"contraction": 0.875, "gradient_error": 0.25}
    write(result("cgls", [record("test-0000", found | known), record("test-0001", lost, note="wild & lost")]), root)
    write(result("fbp", [], "not-applicable", "looks for no fixed point"), root)
    failing = [record("test-0000", error="RuntimeError: gone")]
    write(result("landweber", failing, "failed", "1 of 1 failed: RuntimeError: gone"), root)
    return root


def test_a_board_has_the_columns_hidden_and_says_nothing_of_them(root):
    assert check(root) == []
    made = board(load(root)[0], "ct-ellipses-30")
    assert set(MEASUREMENT.hidden) <= made.hidden and {"residual", "gradient_error"} <= {c.name for c in made.columns}
    rows = made.frame.set_index("method")
    assert rows.loc["cgls", "converged"] == 0.5 and rows.loc["cgls", "gradient_error"] == 0.25
    assert not any("fixed-point" in notes for notes in rows["notes"])


def test_the_page_has_a_table_of_them(root, tmp_path):
    text = (render(root, tmp_path / "site").parent / "iterations.html").read_text()
    table = text.split("How well the equilibria are found")[1].split("</table>")[0]
    assert "1 of 2" in table and "0.00121" in table and "30.5" in table and "0.875" in table and "0.2500" in table
    assert "1 of 2 images: wild &amp; lost" in table and "1 of 1 images: RuntimeError: gone" in table
    assert "Fbp" not in table


def test_without_results_there_is_no_such_table(tmp_path):
    root = write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["fbp"], images=2)
    assert "How well the equilibria" not in (render(root, tmp_path / "site").parent / "iterations.html").read_text()


def test_rules_of_the_backward_pass_are_compared_on_the_same_images(root, tmp_path):
    names = ("psnr_jacobian-free", "psnr_anderson", "psnr_phantom", "psnr_broyden")
    plain, better, noisy, odd = [30.0, 31.0, 29.0], [30.5, 31.6, 29.4], [30.9, 30.2, 29.1], [31.0, 32.0, 30.0]
    values = [dict(zip(names, v)) for v in zip(plain, better, noisy, odd)]
    records = [record(f"test-{i:04d}", found, seed=1) for i, found in enumerate(values)]
    # a second seed without one of the rules, and with one that is worse now
    second = [{"psnr_jacobian-free": a, "psnr_anderson": b, "psnr_broyden": a - 0.2} for a, b in zip(plain, better)]
    records += [record(f"test-{i:04d}", found, seed=2) for i, found in enumerate(second)]
    records += [record("training", {"samples_anderson": 500.0 * seed}, seed=seed) for seed in (1, 2)]
    write(result("cgls", records, measurement=backward_rules.MEASUREMENT), root)
    text = (render(root, tmp_path / "site").parent / "iterations.html").read_text()
    table = text.split("Which gradient trains an equilibrium better")[1].split("</table>")[0]
    rows = {row.split("<td>")[1].split("<")[0]: row for row in table.split("<tr>")[2:]}
    assert list(rows) == ["anderson", "broyden", "jacobian-free", "phantom"]
    assert "30.50" in rows["anderson"] and "0.50 [" in rows["anderson"] and "better than" in rows["anderson"]
    assert ">750<" in rows["anderson"] and ">0.50, 0.50<" in rows["anderson"]
    assert "1.00, −0.20" in rows["broyden"] and "no difference seen" in rows["broyden"]
    assert "30.00" in rows["jacobian-free"] and "–" in rows["jacobian-free"]
    assert "no difference seen" in rows["phantom"] and "0.067 [" in rows["phantom"]  # of the seed that has it
