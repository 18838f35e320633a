"""Whether two published claims about robustness hold on a task.

The rules, written before TV was attacked and any two methods were compared:

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
fewer than two images in common with TV, nor those that are there to show what their training lacks or have the weights
of another. An attack that was still growing is a lower bound that favours the network, and TV has variants: a verdict
stands with what it would be beside each other variant, without such networks, and if these were fragile; it is firm
where that changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recon_bench.tables.columns import bootstrap
from recon_bench.tables.robustness import GROWING, Row
from recon_bench.tables.statistics import difference
from recon_bench.tables.transfer import TV, counts

ABOUT, MOST, HALF, BAD, CONSISTENT = 1.25, 0.75, 0.5, 1.5, 0.5
MODEL_BASED = ("unrolled", "equilibrium")
NETWORKS = ("post-processing", *MODEL_BASED)
HOLDS, FAILS, MIXED, OPEN = "holds", "does not hold", "mixed", "open"
GENZEL = "Genzel, Macdonald & März 2022, doi:10.1109/TPAMI.2022.3148324"
GANDIKOTA = "Gandikota, Chandramouli, Dröge & Moeller 2024, arXiv:2402.11557"
TEXTS = (
    ("Networks are about as robust as tuned TV", GENZEL),
    ("Deep methods, also model-based ones, are more fragile than TV", GANDIKOTA),
    ("The data stay consistent while the image is bad", GANDIKOTA),
)


@dataclass(frozen=True)
class Claim:
    """A published claim, whether it holds, the numbers that say so, and the verdict under each ``other`` choice.

    ``lower``: whether the attack on TV itself was still growing.
    """

    text: str
    source: str
    verdict: str
    reason: str
    others: tuple[tuple[str, str], ...] = ()
    lower: bool = False

    @property
    def firm(self) -> bool:
        """Whether no other choice gives another verdict, and TV itself was attacked to the end."""
        return not self.lower and all(verdict in (self.verdict, OPEN) for _, verdict in self.others)


def claims(found: Sequence[Row]) -> list[Claim]:
    """The verdicts on a task, from the rows of its methods."""
    variation = [r for r in found if r.name.startswith(TV) and r.counts]
    networks = [r for r in found if r.family in NETWORKS and r.counts and counts(r.result.method)]
    variation.sort(key=lambda r: -r.mean("psnr", 0.0).value)
    best = variation[0] if variation else None
    judged, lower = _judged(best, networks), best is not None and GROWING in best.flags
    others = [(_beside(tv), _judged(tv, networks)) for tv in variation[1:]]
    if best and (growing := [r for r in networks if GROWING in r.flags]):
        under = f"the {len(growing)} under an attack that was still growing"
        others.append((f"without {under}", _judged(best, [r for r in networks if r not in growing])))
        others.append((f"if {under} were fragile", _judged(best, networks, growing)))
    return [
        Claim(*text, *judged[i], tuple((said, verdicts[i][0]) for said, verdicts in others), lower)
        for i, text in enumerate(TEXTS)
    ]


def _judged(tv: Row | None, counted: Sequence[Row], fragile_too: Sequence[Row] = ()) -> list[tuple[str, str]]:
    """Verdict and reason of each claim, for networks beside TV, some of which are fragile whatever was measured."""
    networks = [r for r in counted if tv and len(_common(r, tv)) > 1]
    if tv is None or not networks:
        why = "nothing to compare: expected results of a TV method and of networks, of two images at least"
        return [(OPEN, why)] * len(TEXTS)
    title = _title(tv)
    near = [r for r in networks if r not in fragile_too and r.mean("error").value <= ABOUT * tv.mean("error").value]
    fragile = [r for r in networks if r in fragile_too or _more_fragile(r, tv)]
    hidden = [r for r in networks if _consistent_but_bad(r)]
    model = [r for r in networks if r.family in MODEL_BASED]
    both = [r for r in fragile if r in model]
    of = f"of {len(networks)} networks"
    about = f"{len(near)} {of} have at most {ABOUT:g} times the error of {title}{_named(near)}"
    more = f"{len(fragile)} {of}, {len(both)} of {len(model)} model-based ones, amplify more than {title}"
    so = f"{len(hidden)} {of} do so{_named(hidden)}. {title} does{' as well' if _consistent_but_bad(tv) else ' not'}"
    return [
        (_most(len(near), len(networks)), about),
        (_both(_share(fragile, networks), _share(both, model)), more + _named(fragile)),
        (HOLDS if _share(hidden, networks) > HALF else FAILS, so),
    ]


def _beside(tv: Row) -> str:
    return f"beside {_title(tv)}" + f", of which {GROWING}" * (GROWING in tv.flags)


def _title(row: Row) -> str:
    return str(row.result.method["title"])


def _named(found: Sequence[Row]) -> str:
    return f": {'; '.join(sorted(map(_title, found)))}" if found else ""


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


def _consistent_but_bad(row: Row) -> bool:
    level = row.reported
    (before, after), (fitted, misfit) = (
        (row.mean(metric, 0.0).value, row.mean(metric).value) for metric in ("error", "misfit")
    )
    return after >= BAD * before and misfit - fitted <= CONSISTENT * level
