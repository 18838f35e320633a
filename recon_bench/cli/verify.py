"""`recon-bench verify`: does a method do as well on images that nobody has seen as its committed result says?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command

IMAGES = 20
CONFIDENCE = 0.99


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_rules(parser)
    options.add_json(parser)
    parser.add_argument("method", metavar="METHOD", help="a name or a Python file")
    parser.add_argument("--task", required=True, metavar="NAME", help="one that can draw more images")


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict; 1 where the committed mean is not what unseen images give.

    ValueError where there is no result to verify, and where the task has no more such images.
    """
    import secrets

    from recon_bench import registry
    from recon_bench.results import RANKING_KIND, started
    from recon_bench.run.apart import apart

    task, method = registry.task(arguments.task), registry.method(arguments.method)
    if task.unseen is None:
        raise ValueError(f"{task.name} cannot draw more such images, so that nothing can be verified on it")
    own = [
        result
        for result in options.results_in(arguments.results)
        if (result.kind, result.task["hash"], result.method["name"]) == (RANKING_KIND, task.hash, method.name)
        and (result.rules["name"], result.status) == (arguments.rules, "ok")
    ]
    if not own:
        raise ValueError(f"no sound result of {method.name} on {task.name} in {arguments.results}: measure it first")
    newest = max(own, key=started)
    from recon_bench.scoring.unseen import psnrs

    ask = partial(psnrs, count=IMAGES, seed=secrets.randbits(64))
    asked = registry.absolute(arguments.task), registry.absolute(arguments.method)
    found = apart(*asked, newest.method["settings"], ask)
    row = verdict([record["values"]["psnr"] for record in newest.records if "psnr" in record["values"]], found)
    row = {"task": task.name, "method": method.name, **row}
    printing.print_rows([row if arguments.json else _formatted(row)], arguments.json)
    return 0 if row["holds"] else 1


def verdict(committed: Sequence[float], found: Sequence[float]) -> dict[str, Any]:
    """Whether a committed mean is where a mean of as many images is expected by the ``found`` values of unseen ones.

    The interval is that of prediction, by Student's t: both are a few images of one distribution.
    """
    import numpy as np
    from scipy import stats

    count = len(found)
    spread = np.std(found, ddof=1) * np.sqrt(1 / count + 1 / len(committed))
    old, new = (float(np.mean(values)) for values in (committed, found))
    low, high = (float(new + sign * stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * spread) for sign in (-1, 1))
    holds = low <= old <= high
    return {"committed": old, "unseen": new, "low": low, "high": high, "images": count, "holds": holds}


def _formatted(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("task", "method", "images")}
    return {
        **shown,
        "committed dB": f"{row['committed']:.2f}",
        "unseen dB": f"{row['unseen']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
        "verdict": "the committed mean lies in the interval" if row["holds"] else "THE COMMITTED MEAN DOES NOT HOLD",
    }


COMMAND = Command("score 20 images that nobody has seen: does a result hold?", add_arguments, run, place=4)
