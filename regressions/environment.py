"""An asv plugin: one environment for all commits, beside the one that asv runs in, without installing anything.

It sees the packages that are installed where asv runs, so torch is not downloaded again, and before these the checkout
of the commit that is measured, whatever of the project is installed. Commits are thus compared with the same versions
of what they build upon.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from asv import environment
from asv.util import UserError

MEASURED = ("recon_bench", "baselines", "benchmarks")


class Beside(environment.Environment):
    """A virtual environment that borrows packages."""

    tool_name = "beside"
    matches_python_fallback = False

    def __init__(self, conf: Any, python: str, requirements: dict[str, str], variables: dict[Any, str]) -> None:
        self._requirements = requirements  # which its name is made of
        super().__init__(conf, python, requirements, variables)

    @classmethod
    def matches(cls, python: str) -> bool:
        """Whether ``python`` is the version that asv runs in."""
        return python == f"{sys.version_info[0]}.{sys.version_info[1]}"

    def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:
        """Check the commit out; UserError where the working tree has changes, which would not be what is measured."""
        if changed := changes(Path.cwd()):
            text = "asv measures commits, and these files are not as committed: commit or stash them\n"
            raise UserError(text + "\n".join(changed))
        super().install_project(conf, repo, commit_hash)

    def _setup(self) -> None:
        venv.create(self._path, with_pip=True)  # asv looks for one
        packages = [folder for folder in sys.path if folder.endswith("site-packages")]
        self._list("packages.pth", packages)  # as lines: what is installed editably there stays out

    def _install_project(self, repo: Any, commit_hash: str, build_dir: str) -> None:
        self._list("checkout.pth", [build_dir])  # its name puts it first

    def _list(self, name: str, folders: list[str]) -> None:
        (place,) = Path(self._path).glob("lib/python*/site-packages")
        (place / name).write_text("".join(f"{folder}\n" for folder in folders), encoding="utf-8")

    def run(self, args: list[str], **kwargs: Any) -> Any:
        """Run its Python."""
        return self.run_executable("python", args, **kwargs)


def changes(root: Path) -> list[str]:
    """What git says of files that are measured and not as committed."""
    words = ["git", "status", "--porcelain", "--untracked-files=all", "--", *MEASURED]
    return subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
