"""The command line: `recon-bench --help`. Everything that the site shows can be had here, as a table or as JSON."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from recon_bench.cli.command import commands
from recon_bench.results import ResultError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 0 fine, 1 problems found, 2 bad input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without UTF-8 shows other signs by their numbers
            stream.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:] if argv is None else list(argv)
    arguments = parser().parse_args(argv)
    arguments.argv = argv
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except (ResultError, ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # as in `recon-bench board ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"recon-bench: {_said(error)}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # no command ends so: it was the code of a method
        print(f"recon-bench: a method ended the process by sys.exit({stop.code!r})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nrecon-bench: interrupted", file=sys.stderr)
        return 130


def _said(error: Exception) -> str:
    """The text of an error; of the system's, the file and what is the matter with it, without numbers."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it parses has ``run``, that of the command."""
    whole = argparse.ArgumentParser(prog="recon-bench", description="A benchmark of image reconstruction methods.")
    whole.add_argument("--version", action="version", version=f"recon-bench {version('recon-bench')}")
    each = whole.add_subparsers(required=True, metavar="COMMAND")
    for name, command in commands().items():
        made = each.add_parser(name, help=command.help, description=command.help)
        command.add_arguments(made)
        made.set_defaults(run=command.run)
    return whole
