"""Where in somebody's own code an error was raised."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
LIBRARY = Path(sysconfig.get_path("stdlib"))
INSTALLED = {"site-packages", "dist-packages"}


def raised_at(error: BaseException) -> str:
    """``file.py:line`` of the innermost frame of a method's, task's or measurement's file; empty where there is none.

    Frames of this package, of what is installed and of Python are passed over. The file is named from the working
    directory where it is below that, else by its name alone.
    """
    steps = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(path, line) for path, line in steps if _is_own(path)]
    if not own:
        return ""
    path, line = own[-1]
    here = Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path.name}:{line}"


def _is_own(path: Path) -> bool:
    installed = path.is_relative_to(PACKAGE) or path.is_relative_to(LIBRARY) or not INSTALLED.isdisjoint(path.parts)
    return path.is_file() and not installed
