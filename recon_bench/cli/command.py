"""What a command is, and where commands are found.

Every module of this package is a command that is called like its file and exports a ``COMMAND``; those in SHARED are
what commands have in common. A new command is a new file; ``new_method.py`` is `new-method`, and what is a word of
Python has an underscore behind it.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from recon_bench import cli

SHARED = frozenset({"catalog", "command", "main", "options", "printing"})


@dataclass(frozen=True)
class Command:
    """One command.

    ``help`` is one line; ``add_arguments(parser)`` adds its options; ``run(arguments)`` gives the exit status, 0 where
    all is fine. ``run`` raises ValueError, OSError or ResultError, with a text of one line, for what the user can put
    right, and imports what needs torch itself, so that the other commands start fast. ``place`` orders the commands in
    the help; those without one come last.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    place: int = 100


def commands() -> dict[str, Command]:
    """Every command by name, in the order of the help; ValueError where a module of this package exports none."""
    names = sorted(module.name for module in pkgutil.iter_modules(cli.__path__) if module.name not in SHARED)
    found = {name.strip("_").replace("_", "-"): _command(name) for name in names}
    return dict(sorted(found.items(), key=lambda item: item[1].place))


def _command(name: str) -> Command:
    module = importlib.import_module(f"{cli.__name__}.{name}")
    found = getattr(module, "COMMAND", None)
    if not isinstance(found, Command):
        raise ValueError(f"{module.__file__}: expected COMMAND = Command(help, add_arguments, run), found none")
    return found
