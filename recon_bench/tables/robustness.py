"""What results say of robustness: errors by size of the perturbation, amplification, and flags.

Gradients look *masked*, by a rule that was written before TV was attacked and any two methods were compared, where
queries or surrogates let the error grow by more than MARGIN beyond what the gradient did, on average over images, or
where the gradient's attack is below random noise.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from recon_bench.results import Result
from recon_bench.rules import BROKEN, COUNTED, LATE, UNUSED
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.statistics import Interval, alone, interval

KIND = "robustness"
MARGIN = 0.05  # of what the error grows by
SAME = 1e-4  # relative, of sizes: what rounding makes of one and the same perturbation

Values = Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """A method under attack; ``images`` has its values by level and image, of those that all levels have.

    ``flags`` say what keeps a number from being taken as it is, ``missing`` why something is left out; the row is
    ``whole`` where that is no image.
    """

    result: Result
    reported: float
    images: Mapping[float, Mapping[str, Values]]
    joint: Interval  # error under the perturbation of all images
    flags: tuple[str, ...]
    missing: tuple[str, ...]
    whole: bool

    @property
    def name(self) -> str:
        """Of the method."""
        return str(self.result.method["name"])

    @property
    def family(self) -> str:
        """Of the method."""
        return str(self.result.method["family"])

    def values(self, metric: str, level: float) -> dict[str, float]:
        """A metric by image, where it was measured."""
        return {name: v[metric] for name, v in self.images.get(level, {}).items() if metric in v}

    def mean(self, metric: str, level: float | None = None) -> Interval:
        """A mean over images with its interval, at the reported level unless given."""
        found = self.values(metric, self.reported if level is None else level)
        return interval(np.array([*found.values()]), **bootstrap(self.result))

    def amplifications(self, level: float | None = None) -> dict[str, float]:
        """How much the error of each image grows, relative to the size of the perturbation."""
        at = self.reported if level is None else level
        clean = self.values("error", 0.0)
        return {name: (error - clean[name]) / at for name, error in self.values("error", at).items()}

    @property
    def amplification(self) -> Interval:
        """Its mean at the reported level."""
        return interval(np.array([*self.amplifications().values()]), **bootstrap(self.result))

    @property
    def over_random(self) -> float:
        """The error under attack over that with random noise of the same norm, of means over images."""
        return self.mean("error").value / self.mean("random").value

    @property
    def attained(self) -> float:
        """The part of a linear method's exact worst error that the attack reached, of means; NaN of others."""
        return self.mean("error").value / self.mean("exact").value

    @property
    def counts(self) -> bool:
        """Whether claims may rest on it."""
        return bool(self.images.get(self.reported)) and self.whole and not {MASKED, LATE} & {*self.flags}


MASKED, WITHOUT = "gradients look masked", "no gradient"
GROWING = "the attack was still growing"  # by more than GROWTH of the squared error in the last fifth of its steps
GROWTH = 0.05
CHANGED = re.compile(r"^the same data give another image .*\(by (\S+)\)$")  # by how much, relative


def row(result: Result) -> Row:
    """What a result says."""
    levels = [float(level) for level in (result.measurement.get("protocol") or {}).get("levels", ())]
    found: dict[float, dict[str, Values]] = {}
    missing, late, late_for_all, failed, broken = list[str](), False, False, False, False
    changes = 0.0
    for record in result.records:
        said = [part for part in (record["note"] or "").split("; ") if not part.startswith((UNUSED, COUNTED))]
        if record["error"]:
            missing.append(f"{record['sample']}: {record['error']}".removeprefix(": "))
            failed |= "image" in record["at"]
        elif "level" in record["at"]:
            found.setdefault(float(record["at"]["level"]), {})[record["sample"]] = record["values"]
        ended = LATE in said or record["error"] == LATE
        late |= ended and "level" in record["at"]
        late_for_all |= ended and "universal" in record["at"]
        broken |= BROKEN in said
        changes = max([changes, *(float(by) for part in said for by in CHANGED.findall(part))])
    measured = [level for level in levels if level in found] or sorted(found)
    whole = set.intersection(*(set(found[level]) for level in measured)) if measured else set[str]()
    images = {level: {name: found[level][name] for name in sorted(whole)} for level in measured}
    reported = float((result.measurement.get("protocol") or {}).get("reported", 0.02))
    joint = [r["values"]["universal"] for r in result.records if "universal" in r["values"]]
    everyone = interval(np.array(joint), **bootstrap(result))
    made = Row(result, reported, images, everyone, (), tuple(missing), not failed)
    flags = [WITHOUT] if images.get(reported) and not made.values("by_gradient", reported) else []
    flags += [MASKED] if masked(made) else []
    flags += [GROWING] if made.mean("gain").value > GROWTH else []
    flags += [
        f"nothing worse at {100 * level:g} % than below it on {count} of {len(whole)} images"
        for level, count in unmoved(made).items()
    ]
    theirs = [v for v in images.get(reported, {}).values() if v.get("by_submitted") == v["error"]]
    flags += [f"the worst was submitted on {len(theirs)} of {len(whole)} images"] if theirs else []
    where = "" if str(result.provenance["device"]) == "cpu" else " on a GPU"  # whose sums have no fixed order
    changed = f"changes between calls by {100 * changes:g} %{where}"
    seen = {changed: bool(changes), LATE: late, f"one for all: {LATE}": late_for_all, BROKEN: broken}
    flags += [flag for flag, found_so in seen.items() if found_so]
    return dataclasses.replace(made, flags=tuple(flags))


def counted(result: Result) -> dict[str, set[str]]:
    """By image the submitted files that were tried on it, by their sha256."""
    found: dict[str, set[str]] = {}
    for record in result.records:
        parts = [part for part in (record["note"] or "").split("; ") if part.startswith(COUNTED)]
        found.setdefault(record["sample"], set()).update(part.removeprefix(COUNTED) for part in parts)
    return found


def masked(made: Row) -> bool:
    """Whether something else finds worse than the gradient does; False where there is no gradient."""
    images = made.images.get(made.reported, {})
    known = {name: v for name, v in images.items() if {"by_gradient", "random"} <= v.keys()}
    if not known:
        return False
    clean = made.values("error", 0.0)
    grown = math.fsum(v["by_gradient"] - clean[name] for name, v in known.items())
    other = math.fsum(
        max((v[by] for by in ("by_query", "by_transfer") if by in v), default=0.0) - clean[name]
        for name, v in known.items()
    )
    noisy = math.fsum(v["random"] - clean[name] for name, v in known.items())
    tiny = 1e-6 * len(known)  # what rounding makes of a constant map
    return other > (1 + MARGIN) * grown + tiny or noisy > grown + tiny


def unmoved(made: Row) -> dict[float, int]:
    """On how many images the attack of a level failed: its worst was found at a smaller one, not so at a larger."""
    levels = sorted(made.images)
    sizes = [made.values("reached", level) for level in levels]
    found = {}
    for i, level in enumerate(levels[1:-1], start=1):
        known = [name for name in sizes[i] if all(name in each for each in sizes)]
        held = [name for name in known if sizes[i][name] <= (1 + SAME) * sizes[i - 1][name]]
        found[level] = sum(max(each[name] for each in sizes[i:]) > (1 + SAME) * sizes[i][name] for name in held)
    return {level: count for level, count in found.items() if count}


def rows(results: Iterable[Result]) -> list[Row]:
    """A row for each result of the kind, the smallest error under attack first, those without one last."""
    found = [row(result) for result in results if result.kind == KIND]
    return sorted(found, key=lambda r: (math.isnan(r.mean("error").value), r.mean("error").value, r.name))


def facts(found: Row) -> dict[str, Interval]:
    """The numbers of a row, for tables: means over images, those that matter with intervals."""
    clean, attacked = partial(found.mean, level=0.0), found.mean
    return {
        "psnr": clean("psnr"),
        "attacked_psnr": attacked("psnr"),
        "error": attacked("error"),
        "amplification": found.amplification,
        "over_random": alone(found.over_random),
        "misfit_before": alone(clean("misfit").value),
        "misfit_after": alone(attacked("misfit").value),
        "joint": alone(found.joint.value),
        "local_before": alone(attacked("local_clean").value),
        "local": alone(attacked("local").value),
        "reached": alone(attacked("reached").value),
        "gain": alone(attacked("gain").value),
        "steps": alone(attacked("steps").value),
        "attained": alone(found.attained),
        "images": alone(len(found.images.get(0.0, {}))),
    }
