"""Seconds to render the site of a small synthetic result tree (made by the tests' own generator)."""

import sys
import tempfile
from pathlib import Path

from benchmarks import ROOT
from recon_bench.site.render import render


class Site:
    """Three tasks by twelve methods by three kinds of measurement."""

    number = 1
    repeat = (1, 5, 20.0)

    def setup(self) -> None:
        sys.path.insert(0, str(ROOT))  # the tests of the commit that is measured
        from tests.helpers_results import write_tree

        self.folder = tempfile.TemporaryDirectory()
        self.results = write_tree(Path(self.folder.name) / "results")

    def teardown(self) -> None:
        self.folder.cleanup()

    def time_render(self) -> None:
        render(self.results, Path(self.folder.name) / "site")
