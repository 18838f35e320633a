"""Backward rules: which gradient trains an equilibrium better, from the same start in the same time.

Points are weights of seeds from 1 on that were trained alike but for the setting ``backward``: for each such seed,
`recon-bench train METHOD --seed N --set backward=RULE` with at least two rules, the same start, recipe and minutes.
All are used with the same solver, to the same tolerance. A rule that takes longer sees fewer samples in that time: how
many is said, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from recon_bench import weights
from recon_bench.core import Method, NotApplicable
from recon_bench.implicit import RULES
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring.quality import same_budgets, score

SEEDS = range(1, 10)
TRAINING = "training"  # the record of a seed that is about no image


def trained(method: Method, task: str) -> dict[int, dict[str, str]]:
    """By seed and rule, names of weights (without their seed): of seeds for which there are at least two rules."""
    if method.network is None or "backward" not in {field.name for field in dataclasses.fields(method.settings)}:
        return {}
    by_rule = {rule: dataclasses.replace(method.settings, backward=rule) for rule in RULES}
    variants = {rule: weights.variant(settings, method.settings) for rule, settings in by_rule.items()}
    known = weights.registry()
    found = {
        seed: {
            rule: weights.full_name(method.name, task, 0, variant)
            for rule, variant in variants.items()
            if weights.full_name(method.name, task, seed, variant) in known
        }
        for seed in SEEDS
    }
    return {seed: rules for seed, rules in found.items() if len(rules) > 1}


def names(method: Method, task: str) -> Sequence[str]:
    """The weights that are compared."""
    return [f"{name}-seed{seed}" for seed, rules in trained(method, task).items() for name in rules.values()]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record per seed and test image, with the PSNR of each rule, and one per seed with the samples of each.

    An image that fails for one rule has its error. NotApplicable where trainings of a seed differ in more.
    """
    for seed, rules in trained(cell.method, cell.task.name).items():
        trainings = {rule: f"{name}-seed{seed}" for rule, name in rules.items()}
        same_budgets(list(trainings.values()), "backward rule")
        cards = {rule: weights.card(name) for rule, name in trainings.items()}
        if len({(card["start"] or {}).get("sha256") for card in cards.values()}) > 1:
            starts = "; ".join(f"{rule}: {(card['start'] or {}).get('name')}" for rule, card in cards.items())
            raise NotApplicable(f"expected the trainings of seed {seed} to start from the same weights, got {starts}")
        samples = {f"samples_{rule}": float(card["samples"]) for rule, card in cards.items()}
        images = {TRAINING: Record(sample=TRAINING, seed=seed, values=samples)}
        for rule, name in rules.items():
            for record in score(cell, dataclasses.replace(cell.settings, weights=name), done, seed=seed):
                before = images.get(record.sample, Record(sample=record.sample, seed=seed))
                value = {f"psnr_{rule}": record.values["psnr"]} if "psnr" in record.values else {}
                images[record.sample] = dataclasses.replace(
                    before, values={**before.values, **value}, error=before.error or record.error
                )
        yield from (record for record in images.values() if record.key not in done)


MEASUREMENT = Measurement(
    name="backward-rules",
    version=1,
    title="Which gradient trains an equilibrium better",
    metrics=(
        *(Metric(f"psnr_{rule}", f"PSNR, trained by {rule}", "dB", "higher") for rule in RULES),
        *(Metric(f"samples_{rule}", f"Samples, trained by {rule}", "", "higher", 0) for rule in RULES),
    ),
    measure=measure,
    weights=names,
    board=False,
)
