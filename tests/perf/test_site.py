"""How long the site takes to render from 10,000 result files."""

import dataclasses
import os
from datetime import timedelta

import pytest

from recon_bench import results
from recon_bench.results import load, result_files, write
from recon_bench.rules import QUICK
from recon_bench.site.render import render
from tests.helpers_results import FIRST, write_tree

FILES = 10_000
REQUIRED = 20.0  # seconds
REMARK = "site: one rendering of the whole folder, loading the files included."


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three tasks, one of them under two sets of rules too, and older runs of the same cells up to FILES."""
    root = tmp_path_factory.mktemp("many") / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # what is thrown away need not survive a power cut
        write_tree(root, images=20)
        write_tree(root, tasks=["ct-ellipses-30"], images=2, rules=QUICK)
        newest, _ = load(root)
        patch.setattr(results, "violations", lambda *_: ())  # all are like those just written
        for number in range(FILES - len(newest)):
            result = newest[number % len(newest)]
            started = (FIRST - timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
            write(dataclasses.replace(result, images={}, provenance={**result.provenance, "started": started}), root)
    return root


@pytest.mark.timeout(600)
def test_render(tree, tmp_path, benchmark, tables):
    files = len(result_files(tree))
    assert files == FILES
    benchmark.pedantic(render, args=(tree, tmp_path / "site"), rounds=1)
    seconds = benchmark.stats.stats.max
    benchmark.extra_info |= {"files": files, "seconds": seconds, "required": REQUIRED}
    row = {"result files": str(files), "seconds": f"{seconds:.1f}", "required": f"< {REQUIRED:.0f}"}
    tables.add("site", row, [REMARK])
