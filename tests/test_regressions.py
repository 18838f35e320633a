"""Steps between commits beyond the noise, what asv measures, and its pages as a part of the site."""

import importlib.resources
import math
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch

from benchmarks import methods
from recon_bench.site.render import render
from recon_bench.storage import REPOSITORY
from regressions import environment, pages, steps
from tests.helpers_results import write_tree

BEFORE = {"time": (1.0, "seconds"), "peak": (100.0, "bytes"), "error": (0.02, "NMSE"), "old": (1.0, "seconds")}


def after(**changed):
    return {name: (changed.get(name, value), unit) for name, (value, unit) in BEFORE.items()} | {
        "new": (1.0, "seconds")
    }


def test_a_step_is_a_ratio_beyond_the_noise_of_its_benchmark():
    assert steps.steps(BEFORE, after(time=1.09, peak=104), {}) == []
    found = steps.steps(BEFORE, after(time=1.2, error=0.0201, peak=50), {"peak": 1.1})
    assert [(step.name, step.worse) for step in found] == [("error", True), ("time", True), ("peak", False)]
    assert steps.steps(BEFORE, after(time=1.2), {"time": 1.3}) == []
    assert "1.2 times, noise 1.1" in str(steps.steps(BEFORE, after(time=1.2), {})[0])


def test_what_fails_now_is_worse_and_what_failed_before_is_no_step():
    (step,) = steps.steps(BEFORE, after(error=math.nan), {})
    assert step.worse and str(step).endswith("fails")
    assert steps.steps(after(error=math.nan), BEFORE, {}) == []


def test_runs_of_one_commit_give_the_noise():
    found = steps.spread([after(time=1.0), after(time=1.25), after(time=0.8)])
    assert found["time"] == pytest.approx(1.25 / 0.8) and found["error"] == steps.SAME
    assert steps.steps(after(time=1.0), after(time=1.5), found) == []


def test_a_reconstruction_with_nan_raises_because_asv_would_take_it_for_not_applicable(monkeypatch):
    truth = torch.ones(2, 4, 4)
    monkeypatch.setattr(methods, "prepare", lambda name, images: (truth, lambda: truth * math.nan))
    with pytest.raises(ValueError, match="the NMSE of fbp is nan"):
        methods.Quality().track_nmse("fbp")


def test_every_file_that_the_pages_of_asv_load_from_elsewhere_is_known():
    for page in (importlib.resources.files("asv") / "www").iterdir():
        if page.name.endswith(".html"):
            for tag in pages.LOADED.findall(page.read_text(encoding="utf-8")):
                assert re.search(r'="[^"]*/([^"/]+)"', tag)[1] in pages.ASSETS


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A page and data such as asv publishes; what npm would fetch is there."""
    monkeypatch.setattr(pages, "CACHE", tmp_path / "cache")
    place = tmp_path / "cache" / "blueimp-md5@2.19.0" / "js" / "md5.min.js"
    place.parent.mkdir(parents=True)
    place.write_text("var md5;")
    folder = tmp_path / "published"
    (folder / "graphs").mkdir(parents=True)
    (folder / "graphs" / "a b.json").write_text("[[1, 2.5]]")
    (folder / "index.html").write_text(
        '<script src="https://cdn.example/x/md5.min.js" integrity="sha" crossorigin="anonymous"></script>\n'
        '<script language="javascript" src="asv.js"></script>\n<a href="https://example.org">more</a>'
    )
    return folder


def test_published_pages_load_nothing_from_elsewhere_and_carry_their_data(published):
    pages.localise(published)
    text = (published / "index.html").read_text()
    assert not pages.LOADED.search(text) and "integrity" not in text
    assert text.index("assets/md5.min.js") < text.index("data.js") < text.index("asv.js")
    assert (published / "assets" / "md5.min.js").read_text() == "var md5;"
    assert '"graphs/a b.json": [[1, 2.5]]' in (published / "data.js").read_text()


def test_an_unknown_file_from_elsewhere_is_named(published):
    (published / "index.html").write_text('<script src="//cdn.example/new.js"></script>')
    with pytest.raises(ValueError, match=r"load //cdn.example/new.js, which is not among ASSETS in pages.py"):
        pages.localise(published)


def test_the_site_has_the_pages_and_leads_to_them(published, tmp_path):
    root = write_tree(tmp_path / "results", tasks=("ct-ellipses-30",), methods=("fbp",), images=2)
    index = render(root, tmp_path / "site", published)
    assert (tmp_path / "site" / "asv" / "index.html").is_file() and 'href="asv/index.html"' in index.read_text()
    below = [page for page in (tmp_path / "site").glob("*/*.html") if page.parent.name != "asv"]
    assert below and all('href="../asv/index.html"' in page.read_text() for page in below)
    assert "asv/index.html" not in render(root, tmp_path / "site").read_text()


def git(root, *words):
    names = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *names, *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def test_a_tree_with_changes_of_what_is_measured_is_refused(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "README.md").write_text("not measured")
    assert environment.changes(tmp_path) == []
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "new.py").write_text("METHODS = ()")
    assert environment.changes(tmp_path) == ["?? baselines/new.py"]


SLOWER = """

_once = MaskedFourier.__call__
MaskedFourier.__call__ = lambda self, x: [_once(self, x) for _ in range(8)][-1]
"""
WORSE = """

_right = METHODS[0].build
_wrong = lambda problem, settings: lambda y, A: 0.9 * _right(problem, settings)(y, A)
METHODS = (__import__("dataclasses").replace(METHODS[0], build=_wrong), *METHODS[1:])
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_slower_commit_and_one_that_loses_accuracy_are_caught(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # where asv keeps what it knows of the machine
    root = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(REPOSITORY), str(root)], check=True)
    shutil.rmtree(root / "regressions" / "history", ignore_errors=True)
    commits = [git(root, "rev-parse", "HEAD")]
    for file, change in (("recon_bench/operators/fourier.py", SLOWER), ("baselines/fbp.py", WORSE)):
        (root / file).write_text((root / file).read_text() + change)
        git(root, "commit", "--quiet", "--all", "--message", file)
        commits.append(git(root, "rev-parse", "HEAD"))

    def run(*words):
        return subprocess.run([sys.executable, "-m", *words], cwd=root, env=os.environ, capture_output=True, text=True)

    chosen = ["--bench", "Fourier.time_forward", "--bench", r"Quality.track_nmse\('fbp'\)", "--attribute", "rounds=1"]
    assert run("asv", "machine", "--yes").returncode == 0
    said = run("asv", "run", *chosen, f"{commits[0]}~1..HEAD")
    assert said.returncode == 0, said.stdout + said.stderr
    slower, worse = (run("regressions.steps", *pair) for pair in (commits[:2], commits[1:]))
    print(slower.stdout, worse.stdout)
    assert slower.returncode == worse.returncode == 1
    assert "worse  operators.Fourier.time_forward" in slower.stdout and "NMSE" not in slower.stdout
    assert "worse  methods.Quality.track_nmse('fbp')" in worse.stdout
    (root / "baselines" / "fbp.py").write_text("")
    dirty = run("asv", "run", "--bench", "Fourier", f"{commits[0]}^!")
    assert dirty.returncode and "baselines/fbp.py" in dirty.stdout + dirty.stderr
