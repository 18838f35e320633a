import csv
import dataclasses
import html.parser
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch

from recon_bench import registry, templates
from recon_bench.core import Noise, Problem, Samples
from recon_bench.operators.linear import Matrix
from recon_bench.results import load, write
from recon_bench.rules import QUICK
from recon_bench.site import addresses
from recon_bench.site import pages as modules
from recon_bench.site import render as rendering
from recon_bench.site.model import SOURCE, Site
from recon_bench.site.page import NoPage, find
from recon_bench.site.render import SiteError, render
from recon_bench.site.text import duration, fixed
from recon_bench.tables.board import board
from tests.helpers_results import (
    NOT_CONVERGED,
    TROUBLE,
    hex16,
    make_cell,
    record,
    write_cell,
    write_task_card,
    write_tree,
)

TASK = "ct-ellipses-30"
HOSTILE = "</script><script>alert('x')</script><b>&"
VOID = {"meta", "link", "img", "br", "input"}


class Page(html.parser.HTMLParser):
    """Elements of a page as (tag, attributes), its text, and what is wrong with its nesting."""

    def __init__(self, path: Path):
        super().__init__()
        self.path, self.elements, self.open, self.badly_nested, self.text = path, [], [], [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.badly_nested.append((tag, self.getpos()))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = write_tree(tmp_path_factory.mktemp("tree") / "results")
    write_tree(root, tasks=[TASK], methods=["fbp", "cgls"], images=2, rules=QUICK)
    return root


@pytest.fixture(scope="module")
def site(tree) -> Path:
    return render(tree, tree.parent / "site").parent


@pytest.fixture(scope="module")
def pages(site) -> dict[str, Page]:
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


def small(root: Path, *methods: str, **changes) -> Path:
    """A tree of one task where each method has the same accuracy, with ``changes`` to its result."""
    write_task_card(root, TASK)
    for method in methods:
        made = make_cell(TASK, 1, method, "accuracy")
        same = make_cell(TASK, 1, methods[0], "accuracy").records
        write_cell(root, dataclasses.replace(made, **{"records": same, **changes}))
    return root


def test_every_kind_of_page_is_there(pages):
    for name in ("index", "methods", "trust", "protocol", f"board/{TASK}", f"board/{TASK}.quick", f"task/{TASK}"):
        assert f"{name}.html" in pages
    assert f"gallery/{TASK}.html" in pages and "method/tv-isotropic.html" in pages


def test_every_link_leads_to_a_file_of_the_site_or_to_a_doi(site, pages):
    for name, page in pages.items():
        for attributes in (attributes for _, attributes in page.elements):
            for address in filter(None, (attributes.get("href"), attributes.get("src"))):
                parts = urlsplit(address)
                if parts.scheme:
                    assert parts.netloc == "doi.org" or address == "data:,", f"{name}: {address}"
                    continue
                target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
                assert target.is_file() and target.is_relative_to(site), f"{name}: {address}"
                if parts.fragment:
                    assert parts.fragment in pages[target.relative_to(site).as_posix()].ids(), f"{name}: {address}"


def test_pages_are_well_formed_and_accessible(pages):
    for name, page in pages.items():
        assert not page.badly_nested and not page.open, f"{name}: {page.badly_nested} {page.open}"
        assert len(page.ids()) == len(set(page.ids())), name
        assert [len(page.all(tag)) for tag in ("main", "h1", "title")] == [1, 1, 1], name
        assert all("scope" in head for head in page.all("th")), name
        assert all(image["alt"].strip() for image in page.all("img")), name
        assert len(page.all("caption")) == len(page.all("table")), name
        assert page.all("html")[0]["lang"] == "en"


def test_every_chart_has_its_numbers_as_a_table(pages):
    charts = [p for page in pages.values() for p in page.all("figure") if p.get("class", "").startswith("chart")]
    assert charts
    for page in pages.values():
        figures = page.path.read_text().split('<figure class="chart')[1:]
        assert all("<table>" in figure.split("</figure>")[0] for figure in figures)


def test_failures_are_rows_with_their_reason(pages):
    text = pages[f"board/{TASK}.html"].text
    for method, (_, reason) in TROUBLE.items():
        assert reason in text, method
    assert NOT_CONVERGED in text


def test_the_board_shows_what_board_computes(tree, site):
    expected = board(load(tree)[0], TASK)
    with (site / "board" / f"{TASK}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == list(expected.frame["method"])
    data = json.loads((site / "board" / f"{TASK}.json").read_text())
    best = expected.frame.iloc[0]
    assert data["rows"][0]["psnr"] == float(rows[0]["psnr"]) == best["psnr"]
    assert data["rows"][-1]["psnr"] is None and data["rows"][-1]["reason"]
    page = (site / "board" / f"{TASK}.html").read_text()
    assert f"[{best['psnr_low']:.2f}, {best['psnr_high']:.2f}]" in page
    assert all(run["reproduce"] in page for runs in data["runs"].values() for run in runs.values())


def test_raw_values_of_every_image_can_be_downloaded(tree, site):
    with (site / "board" / f"{TASK}.images.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "fbp"]
    [accuracy] = [
        r
        for r in load(tree)[0]
        if (r.kind, r.method["name"], r.task["version"], r.rules["name"]) == ("accuracy", "fbp", 2, "full")
        and r.task["name"] == TASK
    ]
    assert [float(row["psnr"]) for row in rows] == [r["values"]["psnr"] for r in accuracy.records]


def test_equal_results_share_a_rank(tmp_path):
    page = Page(
        render(small(tmp_path / "results", "fbp", "cgls", "tikhonov"), tmp_path / "site").parent
        / "board"
        / f"{TASK}.html"
    )
    assert page.text.count("=1") == 3


def test_latex_is_escaped_and_balanced(tmp_path):
    header = make_cell(TASK, 1, "fbp", "accuracy").method | {"title": "A & B_1 {50 %} #$~^\\"}
    out = render(small(tmp_path / "results", "fbp", method=header), tmp_path / "site").parent
    text = (out / "board" / f"{TASK}.tex").read_text()
    [row] = [line for line in text.splitlines() if "A \\&" in line]
    [head] = [line for line in text.splitlines() if line.startswith("Rank")]
    unescaped = re.compile(r"(?<!\\)&")
    assert len(unescaped.findall(row)) == len(unescaped.findall(head))
    assert r"B\_1 \{50 \%\} \#\$\textasciitilde{}\textasciicircum{}\textbackslash{}" in row


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    root = small(tmp_path / "results", "fbp", "cgls", "tikhonov")
    strange = "TV, x >= 0 ≥ α β “µ” é 漢 <|> & B_1 {50 %} #$~^\\ – −3 °"
    for made in (make_cell(TASK, 1, "landweber", kind) for kind in ("accuracy", "runtime")):
        write_cell(root, dataclasses.replace(made, method=made.method | {"title": strange}))
    text = (render(root, tmp_path / "site").parent / "board" / f"{TASK}.tex").read_text()
    assert r"$\geq$" in text and "[" in text and "\n=2 & " in text and r"\mathbf" in text
    whole = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + text + "\\end{document}\n"
    (tmp_path / "board.tex").write_text(whole)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "board.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "board.log").read_text(errors="replace")


def test_a_misfit_is_a_multiple_of_the_noise_and_has_no_winner(tmp_path):
    root = small(tmp_path / "results", "fbp", "cgls")
    out = render(root, tmp_path / "site").parent / "board"
    column = {c["name"]: c for c in json.loads((out / f"{TASK}.json").read_text())["columns"]}
    assert {column[name]["better"] for name in ("misfit", "noise", "misfit_ratio")} == {""}
    page = Page(out / f"{TASK}.html")
    ticked = [box["value"] for box in page.all("input") if box.get("name") == "columns" and "checked" in box]
    assert "misfit_ratio" in ticked and not {"misfit", "noise"} & set(ticked)
    [row] = [line for line in (out / f"{TASK}.tex").read_text().splitlines() if "Fbp" in line]
    assert "$0.96$" in row and r"\mathbf{0.96}" not in row


def test_times_have_three_significant_digits_and_large_numbers_commas():
    assert [fixed(x, 4, "s") for x in (0.00026543, 0.26543, 9.996, 26.543, 1265.43)] == [
        "0.000265",
        "0.265",
        "10.0",
        "26.5",
        "1,265",
    ]
    assert (fixed(34600123.0, 0), fixed(-0.5, 2), fixed(0.0, 2)) == ("34,600,123", "−0.50", "0.00")
    assert (fixed(3.0, 0), fixed(3.25, 0), fixed(3.0, 0, "s")) == ("3", "3.2", "3.00")
    assert [duration(x) for x in (0.0042, 4.2, 252, 9000)] == ["4.20 ms", "4.20 s", "4.20 min", "2.50 h"]


def test_one_image_has_no_interval_and_no_plural(tmp_path):
    root = write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["fbp", "cgls"], images=1)
    out = render(root, tmp_path / "site").parent
    assert (
        "Values of one test image, which leaves all differences open" in (out / "board/ct-ellipses-30.html").read_text()
    )
    assert "2 ranked, 1 image." in (out / "index.html").read_text()


def test_a_setting_is_never_blank(tmp_path):
    header = make_cell(TASK, 1, "fbp", "accuracy").method
    header = header | {"settings": {"weights": "", "list": [], "off": False, "nothing": None, "scale": 0.0}}
    out = render(small(tmp_path / "results", "fbp", method=header), tmp_path / "site").parent
    shown = re.findall(r'<dd class="num">(.*?)</dd>', (out / "method" / "fbp.html").read_text())
    assert shown == ["none", "none", "no", "none", "0"]


CARD = {
    "command": "recon-bench train fbp --minutes 3 --set weights=a/fbp",
    "samples": 10,
    "steps": 5,
    "seconds": 9.0,
    "machine": {"gpu": None, "cpu": "C"},
    "device": "cpu",
    "threads": 1,
    "precision": "float32",
    "seed": 0,
    "recipe": {"batch": 2, "crop": 0},
    "data": "fresh samples",
    "peak_bytes": 1,
    "best": {"psnr": 30.0, "step": 5},
    "finished": True,
    "parameters": 34600123,
    "bits": 8,
    "rounding_change_db": 0.01,
    "commit": None,
    "clean": None,
}
FIRST = {"command": "recon-bench train fbp --minutes 1", "start": None}


def test_times_of_two_machines_have_columns_of_their_own(tmp_path):
    root = small(tmp_path / "results", "fbp", "cgls")
    made = [make_cell(TASK, 1, method, "runtime") for method in ("fbp", "cgls")]
    other = {**made[1].provenance, "machine": {**made[1].provenance["machine"], "id": "f" * 16, "cpu": "Other CPU"}}
    for result in (*made, dataclasses.replace(made[1], provenance=other)):
        write(result, root)
    page = (render(root, tmp_path / "site").parent / "times.html").read_text()
    assert page.index("1. Example CPU") < page.index("2. Other CPU")
    for name, filled in (
        ("fbp", [True, True, False, False]),
        ("cgls", [True, True, True, False]),
    ):
        [line] = [part for part in page.split("<tr")[1:] if f"method/{name}.html" in part]
        values = re.findall(r'data-column="(?:seconds|times)_\d" data-value="([^"]*)"', line)
        assert [bool(value) for value in values] == filled


@pytest.fixture
def trained(tmp_path):
    """A function: the page of a method whose weights were trained so from others, and that was tuned as well."""

    def trained(start) -> str:
        root = small(tmp_path / "results", "fbp")
        for kind in ("accuracy", "tuning"):
            made = make_cell(TASK, 1, "fbp", kind, repeat=1)
            header = made.method | {"weights": {"a/fbp": "1" * 64}, "training": {**CARD, "start": start}}
            write(dataclasses.replace(made, method=header), root)
        return (render(root, tmp_path / "site").parent / "method" / "fbp.html").read_text()

    return trained


@pytest.mark.parametrize(
    ("name", "recorded", "said"),
    [
        ("a/fbp", FIRST, "which are gone, replaced by these; what stands above trains such anew"),
        ("b/fbp", FIRST, "where they were replaced since, what stands above trains such anew"),
        ("b/fbp", {}, "this cannot be repeated: how they were trained was not recorded"),
    ],
)
def test_the_command_of_a_training_says_from_which_weights(trained, name, recorded, said):
    page = trained({"name": name, "sha256": "2" * 64, "samples": 4, "seconds": 2.0, **recorded})
    assert f"from the weights {name} with the sha256 22222222…" in page and said in page
    commands = re.findall(r"<code>(recon-bench train .*?)</code>", page)
    assert commands == ["recon-bench train fbp --minutes 1"] * bool(recorded) + [CARD["command"]]


def test_a_trained_method_shows_its_ledger_and_its_parameters_with_commas(trained):
    page = trained(None)
    assert "12 of 12 allowed evaluations" in page and "34,600,123" in page and "from random weights" in page


def test_the_loss_has_a_logarithmic_axis(tmp_path):
    made = make_cell(TASK, 1, "fbp", "accuracy")
    method = made.method | {"weights": {"a/fbp": "1" * 64}, "training": CARD}
    root = small(tmp_path / "results", "fbp", method=method)
    names = (("validation", "Validation PSNR", "dB", "higher", 2), ("loss", "Training loss", "", "lower", 6))
    metrics = [dict(zip(("name", "title", "unit", "better", "digits"), metric)) for metric in names]
    points = [record("a/fbp", {"loss": 10.0**-n, "validation": 20.0 + n}, {"steps": 10.0 * n}) for n in (1, 2, 3)]
    header = {"version": 1, "hash": hex16("training"), "title": "Training", "metrics": metrics}
    write(dataclasses.replace(made, kind="training", measurement=header, method=method, records=points), root)
    out = render(root, tmp_path / "site").parent
    for page in (out / "board" / f"{TASK}.html", out / "method" / "fbp.html"):
        specs = map(json.loads, re.findall(r'<script type="application/json">(.*?)</script>', page.read_text()))
        axes = {spec["y"]["title"]: spec["y"]["log"] for spec in specs}
        assert axes["Training loss"] is True and axes["Validation PSNR"] is False


@pytest.fixture
def more_pages(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder whose modules are pages of the site, too; their templates go to source/templates beside it."""
    shutil.copytree(SOURCE, tmp_path / "source")
    monkeypatch.setattr(rendering, "SOURCE", tmp_path / "source")
    (tmp_path / "more").mkdir()
    monkeypatch.setattr(modules, "__path__", [*modules.__path__, str(tmp_path / "more")])
    yield tmp_path / "more"
    sys.modules.pop("recon_bench.site.pages.zoo", None)


ZOO = """
from recon_bench.site.addresses import link
from recon_bench.site.page import Page

PAGE = Page(
    "zoo",
    "zoo.html",
    lambda site, here, board: {"task": {"title": board.task}, "front": link(here, "index")},
    each=lambda site: {board.task: board for board in site.main()},
    files=lambda site, name, board: {f"{name}.txt": board.task},
    section="index",
    tab="Zoo",
    order=9,
)
"""


def test_a_page_is_one_module_and_its_template(tmp_path, more_pages):
    (more_pages / "zoo.py").write_text(ZOO)
    template = (
        '{% extends "base.html" %}{% block main %}<h1>{{ front }}</h1>{% include "task_tabs.html" %}{% endblock %}'
    )
    (tmp_path / "source" / "templates" / "zoo.html").write_text(template)
    out = render(small(tmp_path / "results", "fbp"), tmp_path / "site").parent
    page = Page(out / "zoo" / f"{TASK}.html")
    assert "../index.html" in page.text and (out / "zoo" / f"{TASK}.txt").read_text() == TASK
    assert {"href": f"../zoo/{TASK}.html", "aria-current": "page"} in page.all("a")
    assert {"href": f"../zoo/{TASK}.html"} in Page(out / "board" / f"{TASK}.html").all("a")


def test_a_module_of_pages_without_a_page_is_an_error(more_pages):
    (more_pages / "zoo.py").write_text("")
    with pytest.raises(NoPage, match="zoo exports no PAGE"):
        find()


def test_addresses_lead_from_any_place_to_any_page():
    board = addresses.place("board", TASK)
    assert (board, addresses.place("trust")) == (f"board/{TASK}.html", "trust.html")
    assert addresses.link("trust.html", "board", TASK, "fbp") == f"{board}#fbp"
    assert addresses.link(board, "board", TASK) == f"../{board}" and addresses.link(board, "trust") == "../trust.html"


def test_text_of_strangers_stays_text(tmp_path):
    root = small(tmp_path / "results", "fbp")
    for kind in ("accuracy", "runtime", "tuning"):
        made = make_cell(TASK, 1, "cgls", kind)
        header = made.method | {"title": HOSTILE, "summary": HOSTILE, "reference": HOSTILE, "family": "iterative"}
        write_cell(
            root,
            dataclasses.replace(
                made,
                method=header,
                status="partial" if kind == "accuracy" else "ok",
                reason=HOSTILE if kind == "accuracy" else None,
            ),
        )
    out = render(root, tmp_path / "site").parent
    for path in out.rglob("*.html"):
        page = Page(path)
        assert all(
            "alert" not in str(attributes.get("src")) and "onclick" not in attributes for _, attributes in page.elements
        )
        assert HOSTILE not in path.read_text() and not page.badly_nested
    method = (out / "method" / "cgls.html").read_text()
    specs = re.findall(r'<script type="application/json">(.*?)</script>', method)
    assert specs and all(json.loads(spec)["series"] for spec in specs)


def test_a_reference_becomes_a_link(pages):
    assert {"href": "https://doi.org/10.1000/182"} in pages["method/fbp.html"].all("a")


def test_a_new_kind_of_measurement_appears_as_curves(tmp_path):
    root = small(tmp_path / "results", "fbp", "cgls")
    metrics = [{"name": "peak", "title": "Peak memory", "unit": "MiB", "better": "lower", "digits": 1}]
    for method in ("fbp", "cgls"):
        points = [record("", {"peak": 10.0 * depth}, {"depth": float(depth)}) for depth in (1, 2, 4)]
        header = {"version": 1, "hash": hex16("memory"), "title": "Memory against depth", "metrics": metrics}
        made = make_cell(TASK, 1, method, "accuracy")
        write(dataclasses.replace(made, kind="memory", measurement=header, records=points), root)
    text = (render(root, tmp_path / "site").parent / "board" / f"{TASK}.html").read_text()
    specs = [json.loads(s) for s in re.findall(r'<script type="application/json">(.*?)</script>', text)]
    [curve] = [spec for spec in specs if spec["kind"] == "curve"]
    assert [point["y"] for point in curve["series"][0]["points"]] == [10, 20, 40]
    assert len(curve["series"]) == 2 and "Memory against depth" in text


def test_rendering_is_a_pure_function(tree, site, tmp_path):
    again = render(tree, tmp_path / "again").parent
    files = sorted(path.relative_to(site) for path in site.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((site / path).read_bytes() == (again / path).read_bytes() for path in files)


def test_rendering_imports_no_torch():
    code = "import sys, recon_bench.site.render; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_results_give_a_page_that_says_so(tmp_path):
    (tmp_path / "results").mkdir()
    assert "no results yet" in render(tmp_path / "results", tmp_path / "site").read_text()


def test_an_unusable_file_is_named_on_the_site(tmp_path):
    root = small(tmp_path / "results", "fbp")
    (root / TASK / "fbp" / "broken.json").write_text("{")
    out = render(root, tmp_path / "site").parent
    assert "broken.json" in (out / "protocol.html").read_text()
    assert "could not be used" in (out / "index.html").read_text()


def test_a_picture_from_elsewhere_is_not_taken(tmp_path):
    root = small(tmp_path / "results", "fbp")
    (tmp_path / "secret.webp").write_bytes(b"secret")
    image = {"file": "../../../secret.webp", "sha256": "0" * 64, "caption": "secret"}
    write(dataclasses.replace(make_cell(TASK, 1, "fbp", "pictures"), images={"test-0000": image}), root)
    out = render(root, tmp_path / "site").parent
    assert not any(path.read_bytes() == b"secret" for path in out.rglob("*") if path.is_file())


def test_the_old_site_is_replaced_but_nothing_else_is_deleted(tmp_path):
    root, out = small(tmp_path / "results", "fbp", "cgls"), tmp_path / "site"
    render(root, out)
    for path in (root / TASK / "cgls").iterdir():
        path.unlink()
    render(root, out)
    assert not (out / "method" / "cgls.html").exists() and (out / "method" / "fbp.html").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(SiteError, match="no site rendered earlier"):
        render(root, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("results", "out", "message"),
    [
        ("absent", "site", "not a folder of results"),
        ("results", "results/site", "inside one another"),
        ("results", "file", "is a file"),
    ],
)
def test_impossible_folders_are_refused(tmp_path, results, out, message):
    (tmp_path / "results").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(SiteError, match=message):
        render(tmp_path / results, tmp_path / out)


def test_an_interruption_leaves_the_old_site(tmp_path, monkeypatch):
    root, out = small(tmp_path / "results", "fbp"), tmp_path / "site"
    before = render(root, out).read_bytes()
    small(root, "cgls")

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Site, "methods", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render(root, out)
    assert (out / "index.html").read_bytes() == before and not (out / "method" / "cgls.html").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "site"]


def test_the_example_of_a_method_runs(tmp_path):
    path = tmp_path / "my_method.py"
    path.write_text(templates.text("iterative"))
    method = registry.imported(str(path))
    matrix = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32))
    operator = Matrix(matrix, (2, 2), (12,))
    none = Samples(0, lambda index: None)
    reconstruct = method.build(Problem(operator, Noise("none"), 1.0, none, none), method.settings)
    truth = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.allclose(reconstruct(operator(truth), operator), truth, atol=0.2)


def test_the_vendored_library_carries_its_licence(site):
    vendor = site / "static" / "vendor"
    assert "Apache License" in (vendor / "echarts-LICENSE.txt").read_text()
    [library] = vendor.glob("echarts-*.min.js")
    assert 'version="' + library.name.removeprefix("echarts-").removesuffix(".min.js") in library.read_text()


def test_the_command_of_a_cell_is_understood(pages, tmp_path):
    source = pages["method/fbp.html"].path.read_text()
    commands = re.findall(r"<pre[^>]*><code>(recon-bench run .*?)</code>", source)
    [command] = [line for line in commands if f"{TASK} " in line and "accuracy" in line and "quick" in line]
    words = [*command.split()[1:], "--dry-run", "--results", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "recon_bench", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_failed_evaluation_of_the_tuner_is_shown_with_its_reason(tmp_path):
    root = small(tmp_path / "results", "fbp")
    made = make_cell(TASK, 1, "fbp", "tuning")
    failed = record("", at={"weight": 2.0}, error="the reconstruction holds NaN")
    write(dataclasses.replace(made, records=[*made.records, failed], status="partial", reason="1 failed"), root)
    text = (render(root, tmp_path / "site").parent / "method" / "fbp.html").read_text()
    assert ">the reconstruction holds NaN<" in text and ">chosen<" in text and ">nan<" not in text
