"""`recon-bench new-method`: a file to start from."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from recon_bench.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("name", metavar="NAME", help="small letters, digits and hyphens, as in my-method")
    parser.add_argument("--learned", action="store_true", help="a network, to be trained, instead of an iteration")


def run(arguments: argparse.Namespace) -> int:
    """Write the file here, and say what is next. ValueError for a name that cannot be used or a file that is there."""
    from recon_bench import registry, templates
    from recon_bench.scoring import header
    from recon_bench.storage import replace_file

    name = arguments.name
    kind: templates.Kind = "learned" if arguments.learned else "iterative"
    if not header.NAME.fullmatch(name):
        raise ValueError(f"expected a name of small letters, digits and hyphens, as in my-method; got {name!r}")
    if name in registry.methods():
        raise ValueError(f"the name {name!r} is taken: choose another")
    path = Path(f"{name.replace('-', '_')}.py")
    if os.path.lexists(path):
        raise ValueError(f"{path} is there already: choose another name, or move it away")
    replace_file(path, templates.text(kind, name).encode())
    print(f"{path} is a whole method. Next:\n")
    print(f"  recon-bench try {path}")
    if arguments.learned:
        print(f"  recon-bench train {path} --task ct-ellipses-30 --minutes 10")
    print(f"  recon-bench run --tasks ct-ellipses-30 --methods {path} --measurements tuning accuracy runtime")
    print("  recon-bench board ct-ellipses-30")
    return 0


COMMAND = Command("write a file with a method to start from", add_arguments, run, place=7)
