"""Whether a result holds: its cell is run again, with its settings and rules, and every value is compared.

Two values agree where they look the same on a board: PSNR within 0.01 dB, everything else within a thousandth of
itself, which is what another processor, thread count or backend may change by rounding. Times agree where their
intervals overlap, and are compared on the same kind of machine alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon_bench import identity, registry, results, weights
from recon_bench.core import Method
from recon_bench.results import Result
from recon_bench.rules import Rules
from recon_bench.run import provenance, runner
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.statistics import interval

DECIBELS = 0.01  # of a PSNR: the last digit that a board shows
RELATIVE = 1e-3  # of any other value


class NotTheSame(ValueError):
    """A result that belongs to other code, weights, task or measurement than there are; the text says which."""


@dataclass(frozen=True)
class Held:
    """What became of a comparison: how many ``values`` were compared, and what does not hold, a line for each."""

    values: int
    broken: Sequence[str]
    skipped: Sequence[str]

    @property
    def holds(self) -> bool:
        """Whether something was compared and all of it agrees."""
        return self.values > 0 and not self.broken


def reproduce(
    result: Result, scratch: Path, method: str = "", images: int = 0, threads: int = 0, command: str = ""
) -> Held:
    """Run the cell of ``result`` again, in the folder ``scratch``, and compare.

    ``method``: the name or file of the method, by its name unless given; ``images``: only so many of the first ones;
    ``threads``: as recorded unless given. Raises :class:`NotTheSame` where that would compare different things, and
    what a run raises.
    """
    name = method or result.method["name"]
    check(result, registry.method(name))
    made, rules = result.provenance, {key: value for key, value in result.rules.items() if key != "hash"}
    protocol = Rules(**rules | {"seeds": tuple(rules["seeds"])})
    if images:
        protocol = dataclasses.replace(protocol, images=min(images, protocol.images))
    runner.run(
        [result.task["name"]],
        [name],
        [result.kind],
        protocol,
        scratch,
        device=made["device"],
        threads=threads or made["threads"],
        overrides={} if result.traits["ledger"] else {result.method["name"]: dict(result.method["settings"])},
        force=True,
        command=command,
    )
    found = [each for each in results.load(scratch)[0] if each.kind == result.kind]
    return compared(result, max(found, key=results.started))


def check(result: Result, method: Method) -> None:
    """NotTheSame unless task, measurement, code and weights are those of the result, or known to give the same."""
    task, kind = registry.task(result.task["name"]), registry.measurement(result.kind)
    names = ("task", result.task["hash"], task.hash), ("measurement", result.measurement["hash"], kind.hash)
    for what, recorded, here in names:
        if recorded != here:
            raise NotTheSame(f"the result is of another version of its {what}: {recorded}, here {here}")
    seals = weights.seals(result.method.get("weights", {}))
    if not result.stands_for(identity.of_file(Path(method.path)), seals):
        commit = result.provenance["commit"] or "unknown"
        raise NotTheSame(f"the result was measured with other code or weights, at commit {commit}: check that out")


def compared(result: Result, again: Result) -> Held:
    """What agrees of the values that both have; all of the second are looked for in the first."""
    if result.status == "not-applicable" or again.status != result.status:
        same = again.status == result.status
        text = f"was {result.status}, now {again.status}: {again.reason}"
        return Held(int(same), [] if same else [text], [])
    timed = [metric["name"] for metric in result.measurement["metrics"] if metric["unit"] == "s"]
    pairs = list(_pairs(result, again))
    values = [pair for pair in pairs if pair[1] not in timed]
    broken = [_told(*pair) for pair in values if not _agrees(*pair[1:])]
    times = {name for _, name, *_ in pairs if name in timed}
    if times and not _same_machine(result, again):
        return Held(len(values), broken, [f"{name}: measured on another machine" for name in sorted(times)])
    broken += filter(None, (_time(name, result, again) for name in sorted(times)))
    return Held(len(values) + len(times), broken, [])


def _pairs(result: Result, again: Result) -> Iterator[tuple[str, str, float | None, float | None]]:
    """Place, metric, value then and value now; None where there is none."""
    known = {_key(record): record["values"] for record in result.records}
    for record in again.records:
        before = known.get(_key(record), {})
        for name in sorted(before.keys() | record["values"].keys()):
            yield _key(record), name, before.get(name), record["values"].get(name)


def _key(record: Mapping[str, Any]) -> str:
    at = "".join(f" {axis}={place:g}" for axis, place in sorted(record["at"].items()))
    seed = f" seed {record['seed']}" if record["seed"] else ""
    return f"{record['sample']}{at}{seed}".strip() or "all"


def _agrees(name: str, before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return before is now
    if name.startswith("psnr"):
        return abs(now - before) <= DECIBELS
    return math.isclose(before, now, rel_tol=RELATIVE, abs_tol=1e-9)


def _told(place: str, name: str, before: float | None, now: float | None) -> str:
    values = ("none" if value is None else f"{value:.6g}" for value in (before, now))
    return "{} of {}: was {}, now {}".format(name, place, *values)


def _same_machine(result: Result, again: Result) -> bool:
    then, now = result.provenance, again.provenance
    return (then["machine"]["id"], then["threads"]) == (now["machine"]["id"], now["threads"])


def _time(name: str, result: Result, again: Result) -> str | None:
    """What is wrong with the medians of a time: their intervals are apart."""
    both = []
    for each in (result, again):
        values = [record["values"][name] for record in each.records if name in record["values"]]
        both.append(interval(np.array(values), "median", **bootstrap(each)))
    before, now = both
    apart = now.low > before.high or now.high < before.low
    told = (f"{value.value:.4g} s ({value.low:.4g} to {value.high:.4g})" for value in both)
    return "{}: was {}, now {}: intervals are apart".format(name, *told) if apart else None


def entry(result: Result, held: Held, root: Path, command: str) -> Any:
    """What is to be noted in the results folder ``root`` of a result of it that held."""
    from recon_bench.results import marks

    assert result.path is not None
    commit, clean = provenance.commit()
    made = {"machine": provenance.machine(result.provenance["device"])["id"], "commit": commit, "clean": clean}
    file = result.path.relative_to(root).as_posix()
    seal = results.parse(result.path)["seal"]
    return marks.Reproduction(file, seal, held.values, made | {"command": command})
