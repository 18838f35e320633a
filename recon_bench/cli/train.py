"""`recon-bench train`: train a learned method."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import Any

from recon_bench.cli import options
from recon_bench.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("method", help="a name or a Python file")
    parser.add_argument("--task", required=True, metavar="NAME", help="a name or a Python file")
    count: dict[str, Any] = {"type": options.whole(0), "default": 0, "metavar": "N"}
    parser.add_argument("--steps", **count, help="the budget; default: the recipe's, or --minutes alone")
    minutes = "the budget, or with --steps the end of this session"
    parser.add_argument("--minutes", type=options.amount("minutes", nothing=True), default=0.0, help=minutes)
    parser.add_argument("--device", default="cpu", help="a torch device; default: cpu")
    threads = "CPU threads; default: the cores, on Slurm 1 or cpus-per-task"
    parser.add_argument("--threads", type=options.whole(1), metavar="N", help=threads)
    parser.add_argument("--seed", **count, help="default: 0")
    parser.add_argument("--images", **count, help="only the first N of the training split; default: all")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    parser.add_argument(
        "--replace", action="store_true", help="keep the new weights even where the old ones are better"
    )
    setting = "a setting of the network, as in depth=5; may be repeated"
    field = "how it is trained, as in batch=1, see recon_bench/recipe.py; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE", help=setting)
    parser.add_argument("--recipe", action="append", default=[], metavar="FIELD=VALUE", help=field)
    options.add_executor(parser, "OPTION=VALUE")


def run(arguments: argparse.Namespace) -> int:
    """Train, and keep weights and card; 130 where it was interrupted. ValueError says in one line what is wrong."""
    options.check_executor(arguments)
    if arguments.executor == "slurm":
        return _slurm(arguments)
    options.check_device(arguments.device)
    import torch

    from recon_bench.core import NotApplicable
    from recon_bench.processes import cores, keep_freed_memory
    from recon_bench.training.loop import train

    what = _what(arguments)
    torch.set_num_threads(arguments.threads or cores())
    if torch.device(arguments.device).type == "cpu":
        keep_freed_memory()
    budget = {name: getattr(arguments, name) for name in ("steps", "minutes", "images", "resume", "replace")}
    try:
        train(**what, device=arguments.device, **budget)
    except NotApplicable as why:
        raise ValueError(f"{what['method'].name} cannot be trained on {what['task'].name}: {why}") from why
    except KeyboardInterrupt as stop:
        if not stop.args:  # otherwise it has said how to go on
            said = "interrupted; weights are as they were, --resume goes on from the checkpoint if there is one"
            print(f"\nrecon-bench: {said}", file=sys.stderr)
        return 130
    return 0


def _slurm(arguments: argparse.Namespace) -> int:
    """Have it done by a job of the cluster."""
    from recon_bench import registry, slurm
    from recon_bench.training import cluster

    _what(arguments)
    found = slurm.options(arguments.slurm)
    if len(found) > 1:
        raise ValueError("--slurm: expected OPTION=VALUE, as in partition=gpu: there is one method here")
    chosen = {"cpus-per-task": "1"} | found[""]
    chosen |= {"cpus-per-task": str(arguments.threads)} if arguments.threads else {}
    words = ["train", registry.absolute(arguments.method), "--task", registry.absolute(arguments.task)]
    for name in ("steps", "minutes", "device", "seed", "images"):
        words += [f"--{name}", str(getattr(arguments, name))]
    words += ["--threads", chosen["cpus-per-task"]]
    words += [word for name in ("set", "recipe") for pair in getattr(arguments, name) for word in (f"--{name}", pair)]
    return cluster.train(words + ["--replace"] * arguments.replace, chosen, arguments.resume)


def _what(arguments: argparse.Namespace) -> dict[str, Any]:
    """The method with its settings, the task, and the changes of the recipe."""
    from recon_bench import registry

    method, task = options.with_code(registry.imported, arguments.method), registry.task(arguments.task)
    if reason := task.missing():
        raise ValueError(reason)
    changes = (
        {} if method.recipe is None else registry.converted(method.recipe, options.pairs(arguments.recipe), "recipe")
    )
    chosen = options.pairs(arguments.set)
    if "seed" in chosen:
        raise ValueError("the seed of a training is given with --seed, not with --set")
    settings = registry.with_settings(method, chosen)
    if method.network is not None:
        settings = dataclasses.replace(settings, seed=arguments.seed)
    return {"method": method, "task": task, "settings": settings, "changes": changes}


COMMAND = Command("train a learned method, keep its weights and training card", add_arguments, run, place=8)
