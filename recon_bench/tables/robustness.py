"""What results say of robustness: curves, amplification, flags, and whether two published claims hold here.

The rules, written before TV was attacked and any two methods were compared:

- Gradients look *masked* where queries or surrogates let the error grow by more than MARGIN beyond what the gradient
  did, on average over images, or where the gradient's attack is below random noise.
- "Networks are about as robust as tuned TV" (Genzel et al.): a network is, where its error under attack is at most
  ABOUT times that of the TV method with the best PSNR. The claim holds where MOST of the networks are, does not where
  fewer than HALF are, and is mixed between.
- "Deep methods, also model-based ones, are more fragile" (Gandikota et al.): a network is, where the interval of the
  difference of its amplification and that of TV lies above zero. It holds where more than HALF of all networks and of
  the model-based ones (unrolled, equilibrium) are, does not where neither is so, and is mixed otherwise.
- "The data stay consistent while the image is bad" (the same): the error is at least BAD times what it was, while the
  misfit has grown by at most CONSISTENT of the size of the perturbation. It holds where more than HALF of all networks
  do so, else not.

Networks and TV that ran out of time, failed on an image or have masked gradients are not counted, nor are networks with
fewer than two images in common with TV.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from recon_bench.results import Result
from recon_bench.rules import BROKEN, LATE, UNUSED
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.statistics import Interval, difference, interval

KIND, CORRUPTIONS = "robustness", "corruptions"
MARGIN, ABOUT, MOST, HALF, BAD, CONSISTENT = 0.05, 1.25, 0.75, 0.5, 1.5, 0.5
MODEL_BASED = ("unrolled", "equilibrium")
NETWORKS = ("post-processing", *MODEL_BASED)
SHOWN = 3  # the severity of the heat map
HOLDS, FAILS, MIXED, OPEN = "holds", "does not hold", "mixed", "open"

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


@dataclass(frozen=True)
class Claim:
    """A published claim, whether it holds, and the numbers that say so."""

    text: str
    source: str
    verdict: str
    reason: str


def row(result: Result) -> Row:
    """What a result says."""
    levels = [float(level) for level in (result.measurement.get("protocol") or {}).get("levels", ())]
    found: dict[float, dict[str, Values]] = {}
    missing, late, late_for_all, changes, failed, broken = list[str](), False, False, False, False, False
    for record in result.records:
        said = [part for part in (record["note"] or "").split("; ") if not part.startswith(UNUSED)]
        if record["error"]:
            missing.append(f"{record['sample']}: {record['error']}".removeprefix(": "))
            failed |= "image" in record["at"]
        elif "level" in record["at"]:
            found.setdefault(float(record["at"]["level"]), {})[record["sample"]] = record["values"]
        ended = LATE in said or record["error"] == LATE
        late |= ended and "level" in record["at"]
        late_for_all |= ended and "universal" in record["at"]
        broken |= BROKEN in said
        changes |= any("another image" in part for part in said)
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
    seen = {"changes between calls": changes, LATE: late, f"one for all: {LATE}": late_for_all, BROKEN: broken}
    flags += [flag for flag, found_so in seen.items() if found_so]
    return dataclasses.replace(made, flags=tuple(flags))


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


def rows(results: Iterable[Result]) -> list[Row]:
    """A row for each result of the kind, the smallest error under attack first, those without one last."""
    found = [row(result) for result in results if result.kind == KIND]
    return sorted(found, key=lambda r: (math.isnan(r.mean("error").value), r.mean("error").value, r.name))


def claims(found: Sequence[Row]) -> list[Claim]:
    """The verdicts on a task, from the rows of its methods."""
    variation = [r for r in found if r.name.startswith("tv-") and r.counts]
    counted = [r for r in found if r.family in NETWORKS and r.counts]
    texts = (
        ("Networks are about as robust as tuned TV", GENZEL),
        ("Deep methods, also model-based ones, are more fragile than TV", GANDIKOTA),
        ("The data stay consistent while the image is bad", GANDIKOTA),
    )
    tv = max(variation, key=lambda r: r.mean("psnr", 0.0).value, default=None)
    networks = [r for r in counted if tv and len(_common(r, tv)) > 1]
    if tv is None or not networks:
        why = "nothing to compare: expected results of a TV method and of networks, of two images at least"
        return [Claim(*text, OPEN, why) for text in texts]
    title = tv.result.method["title"]
    near = [r for r in networks if r.mean("error").value <= ABOUT * tv.mean("error").value]
    fragile = [r for r in networks if _more_fragile(r, tv)]
    hidden = [r for r in networks if _consistent_but_bad(r)]
    model = [r for r in networks if r.family in MODEL_BASED]
    both = [r for r in fragile if r in model]
    of = f"of {len(networks)} networks"
    about = f"{len(near)} {of} have at most {ABOUT:g} times the error of {title}{_named(near)}"
    more = f"{len(fragile)} {of}, {len(both)} of {len(model)} model-based ones, amplify more than {title}"
    so = f"{len(hidden)} {of} do so{_named(hidden)}"
    return [
        Claim(*texts[0], _most(len(near), len(networks)), about),
        Claim(*texts[1], _both(_share(fragile, networks), _share(both, model)), more + _named(fragile)),
        Claim(*texts[2], HOLDS if _share(hidden, networks) > HALF else FAILS, so),
    ]


def _named(found: Sequence[Row]) -> str:
    return f": {'; '.join(sorted(str(row.result.method['title']) for row in found))}" if found else ""


GENZEL = "Genzel, Macdonald & März 2022, doi:10.1109/TPAMI.2022.3148324"
GANDIKOTA = "Gandikota, Chandramouli, Dröge & Moeller 2024, arXiv:2402.11557"


def _most(count: int, of: int) -> str:
    return HOLDS if count >= MOST * of else FAILS if count < HALF * of else MIXED


def _share(some: Sequence[Row], of: Sequence[Row]) -> float:
    return len(some) / len(of) if of else math.nan


def _both(of_all: float, of_model_based: float) -> str:
    """From shares; one that is not known decides nothing."""
    known = [share > HALF for share in (of_all, of_model_based) if not math.isnan(share)]
    return HOLDS if all(known) else MIXED if any(known) else FAILS


def _more_fragile(network: Row, tv: Row) -> bool:
    own, other, common = network.amplifications(), tv.amplifications(), _common(network, tv)
    first, second = (np.array([values[name] for name in common]) for values in (own, other))
    return bool(difference(first, second, **bootstrap(network.result)).low > 0)


def _common(network: Row, tv: Row) -> list[str]:
    """The images of both."""
    return sorted(network.amplifications().keys() & tv.amplifications().keys())


def _consistent_but_bad(network: Row) -> bool:
    level = network.reported
    (before, after), (fitted, misfit) = (
        (network.mean(metric, 0.0).value, network.mean(metric).value) for metric in ("error", "misfit")
    )
    return after >= BAD * before and misfit - fitted <= CONSISTENT * level


@dataclass(frozen=True)
class Heat:
    """A method on corrupted data: its error over that of the reference, of means, by kind at the severity SHOWN, by
    severity over all kinds, and over all."""

    result: Result
    ratios: Mapping[str, float]
    by_severity: Mapping[int, float]
    of_reference: float


def heat(results: Iterable[Result]) -> list[Heat]:
    """A row for each whole result on corrupted data that has a reference, the most robust first."""
    found = [_heat(result) for result in results if result.kind == CORRUPTIONS and result.status == "ok"]
    return sorted((h for h in found if h.ratios), key=lambda h: (h.of_reference, h.result.method["name"]))


def _heat(result: Result) -> Heat:
    kinds = (result.measurement.get("protocol") or {}).get("kinds", ())
    errors: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for record in result.records:
        at, values = record["at"], record["values"]
        if at.get("severity") and {"error", "reference_error"} <= values.keys():
            place = kinds[int(at["corruption"])], int(at["severity"])
            errors.setdefault(place, []).append((values["error"], values["reference_error"]))

    def ratio(kind: str = "", severity: int = 0) -> float:
        """Over those of a kind and of a severity, where given."""
        pairs = [p for (k, s), some in errors.items() if k == (kind or k) and s == (severity or s) for p in some]
        other = math.fsum(pair[1] for pair in pairs)
        return math.fsum(pair[0] for pair in pairs) / other if other else math.nan

    shown = {kind: ratio(kind, SHOWN) for kind, severity in errors if severity == SHOWN}
    return Heat(result, shown, {severity: ratio(severity=severity) for _, severity in sorted(errors)}, ratio())


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
        "local": alone(attacked("local").value),
        "reached": alone(attacked("reached").value),
        "gain": alone(attacked("gain").value),
        "steps": alone(attacked("steps").value),
        "attained": alone(found.attained),
        "images": alone(len(found.images.get(0.0, {}))),
    }


def alone(value: float) -> Interval:
    """A value without an interval."""
    return Interval(value, math.nan, math.nan)
