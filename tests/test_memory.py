"""Memory against depth and size: what is counted, the measurements on a toy, fits of their curves, and the page."""

import dataclasses
import json
import math

import pytest
import torch

from recon_bench import registry, results
from recon_bench.cli.main import main
from recon_bench.core import Method, NotApplicable
from recon_bench.measurement import Cell
from recon_bench.measurements import memory, memory_size
from recon_bench.operators import Identity
from recon_bench.results.traits import TRAITS
from recon_bench.rules import FULL, QUICK
from recon_bench.run import runner
from recon_bench.scoring import footprint, sizes
from recon_bench.site.render import render
from recon_bench.tables import growth
from tests.helpers_results import make_cell, record, write_cell, write_tree
from tests.helpers_training import TOY
from tests.test_site import Page

CPU = torch.device("cpu")
KIB = 1024


def cell(name, **settings):
    """The toy with a small network of the registered method."""
    method = registry.method(name)
    return Cell(TOY, method, dataclasses.replace(method.settings, **settings), FULL, CPU)


def values(name, depth, **settings):
    found = memory.at_depth(cell(name, **settings), depth)
    assert found.error is None and found.note is None
    return found.values


def kib(shape=(16, 16)):
    return torch.ones(shape)  # one KiB


def test_tensors_that_are_freed_views_and_what_came_from_outside_are_counted_rightly():
    outside, given = kib(), kib()

    def call():
        a = given + outside  # 1 more
        b = a.view(-1)[3:]  # none more
        del a
        c = b * 2  # 1 more (and 4 * 253 bytes)
        del b
        torch.relu_(c)
        assert (outside.t()[0].sum() + c.sum()) > 0

    found = footprint.of(call, [given], CPU)
    assert 3 * KIB - 12 <= found.peak <= 3 * KIB + 16 and found.saved == 0


def test_what_autograd_saves_is_counted_once_without_what_was_given_and_until_it_is_thrown_away():
    weight = kib().requires_grad_()

    def call():
        for _ in range(3):  # one graph at a time
            x = torch.tanh(weight * 2)
            (x * x).sum().backward()

    found = footprint.of(call, [weight], CPU)
    assert found.saved == KIB and found.peak < 7 * KIB


def test_tensors_that_a_custom_function_keeps_as_it_likes_are_alive():
    class Keeping(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.kept = torch.cat([x] * 8)
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g * ctx.kept.mean()

    x = kib().requires_grad_()
    found = footprint.of(lambda: Keeping.apply(x).sum().backward(), [x], CPU)
    assert found.saved == 0 and found.peak >= 9 * KIB


def test_sparse_tensors_are_their_parts():
    sparse = torch.sparse_csr_tensor(torch.arange(17), torch.arange(16), torch.ones(16), check_invariants=False)
    sizes = [storage.nbytes() for storage in footprint.storages(sparse)]
    assert sizes == [17 * 8, 16 * 8, 16 * 4]
    assert len(footprint.storages(torch.eye(2).to_sparse())) == 2


def test_a_gpu_tells_its_own_peaks(monkeypatch):
    told = {f"{name}_bytes.all.peak": size for name, size in (("allocated", 1), ("active", 2), ("reserved", 3))}
    for name, value in (("empty_cache", None), ("reset_peak_memory_stats", None), ("synchronize", None)):
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda device: told)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10, 14))
    found = footprint.of(lambda: kib(), [], torch.device("cuda"))
    assert found.gpu == {"allocated": 1, "active": 2, "reserved": 3, "device": 4}
    assert footprint.of(lambda: kib(), [], CPU).gpu == {}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("equilibrium", {"width": 4, "scales": 2}),
        ("equilibrium", {"width": 4, "scales": 2, "backward": "anderson", "jacobian": 0.0, "solver": "broyden"}),
        ("de-grad", {"width": 4, "layers": 2}),
        ("de-admm", {"width": 4, "layers": 2}),
        ("convex-equilibrium", {"filters": 4, "kernel": 3}),
    ],
)
def test_the_memory_of_an_equilibrium_does_not_grow(name, settings):
    few, many = (values(name, depth, **settings) for depth in (10, 40))
    assert many["step"] == pytest.approx(few["step"], rel=0.02) and many["saved"] == few["saved"] > 0


def test_an_equilibrium_that_is_trained_at_random_depths_is_measured_at_the_one_that_is_said():
    method = cell("equilibrium", least=3, depth=7)
    assert (memory.fixed(method, 40).depth, memory.fixed(method, 40).least) == (40, 0)


def test_an_unrolled_network_grows_linearly_and_checkpoints_less():
    slopes = {}
    names = ("unrolled-gradient", "unrolled-gradient-segments", "unrolled-gradient-checkpointed")
    for name in names:
        points = [(depth, values(name, depth, width=16, tied=True)["step"]) for depth in (16, 25, 36, 49)]
        slopes[name] = growth.fit(points)
    plain, segments, checkpointed = (slopes[name] for name in names)
    assert plain.name == "linear" and plain.slope.high - plain.slope.low < 0.01 * plain.slope.value
    assert plain.slope.low > segments.slope.high and segments.slope.low > checkpointed.slope.high > 0
    assert segments.name == "square root"


def test_checkpointing_changes_neither_values_nor_gradients():
    found = []
    for name in ("unrolled-gradient", "unrolled-gradient-checkpointed", "unrolled-gradient-segments"):
        method, problem = registry.method(name), TOY.problem()
        torch.manual_seed(0)
        network = method.network(problem, dataclasses.replace(method.settings, depth=5, width=4))
        x = network(TOY.samples("train")[0].data[None], problem.operator)
        x.square().sum().backward()
        found.append([x, *(parameter.grad for parameter in network.parameters())])
        names = list(network.state_dict())
        assert names and all(name.startswith("steps.") for name in names)
    for other in found[1:]:
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("name", ["unrolled-gradient-tied", "equilibrium", "landweber"])
def test_two_runs_give_the_same_bytes(name):
    settings = {} if name == "landweber" else {"width": 4}
    assert values(name, 5, **settings) == values(name, 5, **settings)


@pytest.mark.parametrize("depth", [0, -1])
@pytest.mark.parametrize(
    "name", ["unrolled-gradient", "unrolled-gradient-checkpointed", "reversible", "equilibrium", "de-admm"]
)
def test_a_depth_that_the_settings_refuse_is_a_row_with_its_reason(name, depth):
    found = memory.at_depth(cell(name), depth)
    assert not found.values and found.error.startswith("ValueError: expected") and "depth" in found.error


def test_a_method_without_a_gradient_has_a_reconstruction_and_a_note():
    detached = dataclasses.replace(
        registry.method("landweber"), build=lambda problem, settings: lambda y, A: A.adjoint(y.detach())
    )
    found = memory.at_depth(dataclasses.replace(cell("landweber"), method=detached), 5)
    assert found.values.keys() == {"inference"} and "not differentiable" in found.note


def test_a_step_that_does_not_fit_is_a_note(monkeypatch):
    def full(self, y, weight):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(memory.Host, "training_memory", full)
    found = memory.at_depth(cell("unrolled-gradient", width=4), 2)
    assert found.note.startswith("no step: out of memory on cpu") and found.values["inference"] > 0


class Large:
    """An iteration that raises ``error`` beyond four steps."""

    @dataclasses.dataclass(frozen=True)
    class Settings:
        iterations: int = 10

    def __init__(self, error):
        self.error = error

    def method(self):
        return Method(
            "large", "Large", "iterative", "A method.", "none", self.build, self.Settings(), depth="iterations"
        )

    def build(self, problem, settings):
        def reconstruct(y, A):
            if settings.iterations > 4:
                raise self.error
            return A.adjoint(y)

        return reconstruct


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes"),
    ],
)
def test_a_depth_that_does_not_fit_in_memory_is_a_row_that_says_so_beside_the_others(error):
    method = Large(error).method()
    records = {
        depth: record
        for depth in (1, 2, 5)
        for record in memory.measure(Cell(TOY, method, method.settings, FULL, CPU, {"depth": depth}), {}, print)
    }
    assert records[1].values["step"] > 0 < records[2].values["step"]
    assert records[5].error == f"out of memory on cpu: {error}" and not records[5].values


def test_depths_are_points_of_which_quick_rules_have_few():
    full = cell("landweber")
    assert [at["depth"] for at in memory.points(full)] == list(memory.PROTOCOL.depths)
    quick = dataclasses.replace(full, rules=QUICK)
    assert [at["depth"] for at in memory.points(quick)] == [1, 2, 5]
    assert memory.points(cell("fbp")) == [{}]


def test_where_one_process_is_to_measure_all_two_depths_are_looked_at():
    found = list(memory.measure(cell("landweber"), {}, lambda *_: None))
    assert [record.at["depth"] for record in found] == [2, 5]


def test_a_run_measures_each_depth_and_one_that_fails_leaves_the_others(tmp_path):
    assert runner.run(["ct-ellipses-30"], ["fbp", "de-admm"], ["memory"], QUICK, tmp_path) == 1
    found = {result.method["name"]: result for result in results.load(tmp_path)[0]}
    assert found["fbp"].status == "not-applicable" and "no setting for its depth" in found["fbp"].reason
    records = {record["at"]["depth"]: record for record in found["de-admm"].records}
    assert found["de-admm"].status == "partial" and set(records) == {1, 2, 5}
    assert "expected" in records[1]["error"] and records[5]["values"]["step"] > 1
    assert found["de-admm"].measurement["protocol"]["depths"] == list(memory.PROTOCOL.depths)
    [row] = growth.rows(found.values(), "ct-ellipses-30", "quick")
    assert row.growth is None and set(row.missing) == {1, 2}


def sized(name, size, task=TOY, **settings):
    """The values at a size of the image, with a small network."""
    found = memory_size.at_size(dataclasses.replace(cell(name, **settings), task=task), size)
    assert found.error is None and found.at == {"size": size}
    return found.values


@pytest.mark.parametrize(
    ("name", "task", "settings"),
    [
        ("landweber", "toy", {}),
        ("equilibrium", "toy", {"width": 4, "scales": 2}),
        *(
            (name, task, {"width": 4})
            for name in ("unet", "unrolled-gradient", "reversible")
            for task in ("toy", "mri")
        ),
    ],
)
def test_memory_is_linear_in_pixels(name, task, settings):
    task = {"toy": TOY, "mri": registry.task("mri-brain-4x")}[task]
    points = [(growth.SIZE.x(size), sized(name, size, task, **settings)["step"]) for size in (48, 64, 93, 128)]
    found = growth.fit(points, settled=0)
    assert found.name == "linear" and all(found.at(x) == pytest.approx(size, rel=0.1) for x, size in points)


def test_another_size_is_another_sampling_of_the_same_scan():
    small, large = TOY.problem(), sizes.resized(TOY.problem(), 93)
    old, new = small.operator.geometry, large.operator.geometry
    assert (new.size, new.angles) == (93, old.angles) and abs(new.bins - 93 * old.bins / old.size) <= 0.5
    assert new.size * new.pixel == pytest.approx(old.size * old.pixel)
    assert new.bins * new.spacing == pytest.approx(old.bins * old.spacing)
    sample = large.train[3]
    assert torch.equal(sample.data, large.operator(sample.truth)) and torch.equal(sample.data, large.train[3].data)
    assert not torch.equal(sample.data, large.train[4].data)


@pytest.mark.parametrize("size", [64, 181, 512])
def test_a_mask_keeps_its_part_of_the_columns_and_their_middle(size):
    old = registry.task("mri-brain-4x").problem().operator
    new = sizes.at_size(old, size)
    assert new.domain_shape == (size, size) and size // 2 in new.columns
    assert len(new.columns) / size == pytest.approx(len(old.columns) / old.shape[1], rel=0.15)
    assert sizes.at_size(old, old.shape[1]).columns == old.columns


def test_an_operator_of_another_kind_has_no_other_sizes():
    task = dataclasses.replace(TOY, make_operator=lambda device, dtype: Identity((8, 8), device, dtype))
    with pytest.raises(NotApplicable, match="Identity, is not known at other sizes"):
        list(memory_size.measure(dataclasses.replace(cell("landweber"), task=task), {}, lambda *_: None))


def test_what_cannot_run_at_a_size_keeps_the_others_and_what_cannot_run_at_all_says_so():
    assert sized("tsvd", 64)["inference"] > 0
    assert "not applicable: needs the singular vectors" in memory_size.at_size(cell("tsvd"), 512).error
    with pytest.raises(NotApplicable, match="real data"):
        complex_one = dataclasses.replace(cell("learned-primal-dual"), task=registry.task("mri-brain-4x"))
        memory_size.at_size(complex_one, 64)


def test_sizes_are_points_of_which_quick_rules_have_few(tmp_path):
    full = cell("fbp")
    assert [at["size"] for at in memory_size.points(full)] == list(memory_size.PROTOCOL.sizes)
    assert runner.run(["ct-ellipses-30"], ["fbp"], ["memory-size"], QUICK, tmp_path) == 0
    [row] = growth.rows(results.load(tmp_path)[0], "ct-ellipses-30", "quick", growth.SIZE)
    assert row.measured == 128 and row.growth.slope.low > 0


DEPTHS = (1, 2, 5, 10, 20, 40, 80)
SIDES = (64, 128, 181, 256)


def test_what_works_outside_of_torch_has_no_growth(tmp_path):
    made = make_cell("ct-ellipses-30", 2, "astra-fbp", "runtime")
    records = [record("", {"inference": 1.0}, {"depth": depth}) for depth in DEPTHS]
    [row] = growth.rows([dataclasses.replace(made, kind="memory", records=records)], "ct-ellipses-30")
    assert row.growth is None and "not seen" in row.notes[-1]


def deepest(found, gigabytes):
    return growth.DEPTH.place(found.most(gigabytes))


def test_a_line_is_found_with_the_deepest_models():
    found = growth.fit([(depth, 100 + 8 * depth) for depth in DEPTHS])
    assert found.name == "linear" and found.slope.value == pytest.approx(8) and found.at(10) == pytest.approx(180)
    assert found.slope.low == pytest.approx(8) and found.slope.high == pytest.approx(8)
    assert deepest(found, 8) == (8e9 / 2**20 - 100) // 8
    assert deepest(found, 0.01) == 0


def test_a_square_root_is_found():
    found = growth.fit([(depth, 20 + 7 * math.sqrt(depth)) for depth in DEPTHS])
    assert found.name == "square root" and found.rate == pytest.approx(7)
    assert found.slope.low < found.slope.value < found.slope.high
    assert found.at(deepest(found, 0.5)) <= 5e8 / 2**20 < found.at(deepest(found, 0.5) + 1)
    assert deepest(found, 8) == found.reach == 8000


def test_what_changes_by_less_than_two_percent_is_constant_and_has_no_deepest():
    found = growth.fit([(1, 20), (5, 60), (10, 100), (20, 101), (40, 100), (80, 100)])
    assert found.name == "constant" and deepest(found, 8) == math.inf and deepest(found, 0.05) == 0
    assert abs(found.slope.value) < 0.02


def test_too_few_depths_have_no_growth():
    assert growth.fit([]) is None and growth.fit([(1, 2.0), (2, 3.0)]) is None


def synthetic(root):
    """Results with curves of two methods, one of which misses a depth, and one without a gradient."""
    write_tree(root, tasks=["ct-ellipses-30"], methods=["fbp", "cgls", "landweber"], images=2)
    curves = {"cgls": lambda depth: 50.0, "landweber": lambda depth: 10 + 8 * depth, "tikhonov": None}
    for name, curve in curves.items():
        made = make_cell("ct-ellipses-30", 2, name, "runtime")
        records = [record("", at={"depth": 1}, error="ValueError: expected more")]
        for depth in DEPTHS[1:]:
            step = {"step": curve(depth), "saved": curve(depth) - 10} if curve else {}
            records.append(record("", {"inference": 5.0} | step, {"depth": depth}))
        metrics = [dataclasses.asdict(metric) for metric in memory.MEASUREMENT.metrics]
        measurement = {"version": 1, "hash": "0" * 16, "title": "Memory", "metrics": metrics}
        measurement["traits"] = {**TRAITS, "board": False}
        reason = "1 of 7 failed"
        write_cell(
            root,
            dataclasses.replace(
                made, kind="memory", measurement=measurement, records=records, status="partial", reason=reason
            ),
        )
    return root


def test_the_page_has_the_curves_the_slopes_and_what_was_not_measured(tmp_path):
    root = synthetic(tmp_path / "results")
    site = render(root, tmp_path / "site").parent
    parsed = Page(site / "memory.html")
    assert not parsed.badly_nested and len(parsed.ids()) == len(set(parsed.ids()))
    page = (site / "memory.html").read_text()
    assert page.count('<figure class="chart') == 3
    assert "linear" in page and "constant" in page and "8.000" in page and "(extrapolated)" in page and ">any<" in page
    assert "Not measured yet" in page and "depth 1: ValueError: expected more" in page
    sorted_table = page.split(" data-board>")[1]
    assert sorted_table.index("<table data-sort") == sorted_table.index("<table")  # what sorts takes the first table
    assert "memory.html" in (site / "index.html").read_text()
    gallery = (site / "gallery" / "ct-ellipses-30.html").read_text()
    assert "1 of 7 failed" not in gallery
    rows = growth.rows(results.load(root)[0], "ct-ellipses-30")
    assert [row.method for row in rows] == ["cgls", "landweber", "tikhonov"]
    assert [row.metric for row in rows] == ["step", "step", "inference"] and rows[0].missing.keys() == {1}


def test_the_command_prints_what_the_page_shows(tmp_path, capsys):
    root = str(synthetic(tmp_path / "results"))
    assert main(["memory", "ct-ellipses-30", "--results", root, "--json"]) == 0
    constant, linear, other = json.loads(capsys.readouterr().out)
    assert (constant["class"], constant["deepest_8_gb"]) == ("constant", "any")
    assert linear["slope"] == pytest.approx(8) and linear["deepest_8_gb"] == (8e9 / 2**20 - 10) // 8
    assert other["of"] == "inference" and other["missing"] == {"1": "ValueError: expected more"}
    assert main(["memory", "ct-ellipses-30", "--results", root]) == 0
    assert "8.000 (8.000 to 8.000)" in capsys.readouterr().out
    assert main(["memory", "mri-brain-4x", "--results", root]) != 0
    assert "recon-bench run --measurements memory" in capsys.readouterr().err


def synthetic_sizes(root):
    """Results of 8 bytes a pixel for one method, of another without a size that it ran at, and of one that cannot."""
    write_tree(root, tasks=["ct-ellipses-30"], methods=["fbp", "cgls", "landweber"], images=2)
    metrics = [dataclasses.asdict(metric) for metric in memory_size.MEASUREMENT.metrics]
    measurement = {"version": 1, "hash": "1" * 16, "title": "Memory", "metrics": metrics}
    measurement["traits"] = {**TRAITS, "board": False}
    values = [record("", {"step": 5 + 8 * side**2 / 2**20}, {"size": side}) for side in SIDES]
    failed = [record("", at={"size": side}, error="out of memory on cpu") for side in SIDES]
    for name, records, status in (
        ("cgls", values, "ok"),
        ("landweber", failed, "failed"),
        ("fbp", [], "not-applicable"),
    ):
        made = make_cell("ct-ellipses-30", 2, name, "runtime")
        reason = {"ok": None, "failed": "out of memory", "not-applicable": "its operator has one size"}[status]
        changes = {"measurement": measurement, "records": records, "status": status, "reason": reason}
        write_cell(root, dataclasses.replace(made, kind="memory-size", **changes))
    return root


def test_the_page_has_bytes_per_pixel_and_why_there_are_none(tmp_path):
    root = synthetic_sizes(tmp_path / "results")
    page = (render(root, tmp_path / "site").parent / "memory.html").read_text()
    assert page.count('<figure class="chart') == 1 and "Against the size of the image" in page
    assert "Against depth<" not in page and ">8.0<" in page and "256 × 256" in page
    side = math.isqrt(int((8e9 - 5 * 2**20) / 8))
    assert f"{side:,} (extrapolated)" in page
    assert "64 × 64, 128 × 128, 181 × 181, 256 × 256: out of memory on cpu" in page
    assert "its operator has one size" in page
    parsed = Page(tmp_path / "site" / "memory.html")
    assert not parsed.badly_nested and len(parsed.ids()) == len(set(parsed.ids()))


def test_the_command_prints_what_grows_with_the_size(tmp_path, capsys):
    root = str(synthetic_sizes(tmp_path / "results"))
    assert main(["memory", "ct-ellipses-30", "--against", "size", "--results", root, "--json"]) == 0
    linear, none, failed = json.loads(capsys.readouterr().out)
    assert linear["slope"] == pytest.approx(8e6 / 2**20) and linear["slope_of"] == "MiB per megapixel"
    assert (linear["class"], linear["measured_to"]) == ("linear", 256)
    assert linear["largest_8_gb"] == math.isqrt(int((8e9 - 5 * 2**20) / 8))
    assert none["missing"] == {"all": "its operator has one size"} and set(failed["missing"]) == {
        "64",
        "128",
        "181",
        "256",
    }
    assert main(["memory", "ct-ellipses-30", "--results", root]) != 0
    assert "recon-bench run --measurements memory" in capsys.readouterr().err


def test_the_page_without_results_says_how_to_make_some(tmp_path):
    root = write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["fbp"], images=2)
    page = (render(root, tmp_path / "site").parent / "memory.html").read_text()
    assert "Nothing has been measured yet" in page
