"""What results say of corrupted data: errors as multiples of those of a reference on the same data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from recon_bench.results import Result
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.statistics import Interval
from recon_bench.tables.statistics import ratio as ratio_of

KIND = "corruptions"
SHOWN = 3  # the severity at which kinds are told apart


@dataclass(frozen=True)
class Heat:
    """A method on corrupted data: its error over that of the reference, of means, by kind at the severity SHOWN, by
    severity over all kinds, and over all, this with its interval over images."""

    result: Result
    ratios: Mapping[str, float]
    by_severity: Mapping[int, float]
    of_reference: Interval


def heat(results: Iterable[Result]) -> list[Heat]:
    """A row for each whole result on corrupted data that has a reference, the most robust first."""
    found = [_heat(result) for result in results if result.kind == KIND and result.status == "ok"]
    return sorted((h for h in found if h.ratios), key=lambda h: (h.of_reference.value, h.result.method["name"]))


def _heat(result: Result) -> Heat:
    kinds = (result.measurement.get("protocol") or {}).get("kinds", ())
    errors: dict[tuple[str, int], list[tuple[float, float]]] = {}
    images: dict[str, list[tuple[float, float]]] = {}
    for record in result.records:
        at, values = record["at"], record["values"]
        if at.get("severity") and {"error", "reference_error"} <= values.keys():
            place = kinds[int(at["corruption"])], int(at["severity"])
            pair = values["error"], values["reference_error"]
            errors.setdefault(place, []).append(pair)
            images.setdefault(record["sample"], []).append(pair)

    def ratio(kind: str = "", severity: int = 0) -> float:
        """Over those of a kind and of a severity, where given."""
        pairs = [p for (k, s), some in errors.items() if k == (kind or k) and s == (severity or s) for p in some]
        other = math.fsum(pair[1] for pair in pairs)
        return math.fsum(pair[0] for pair in pairs) / other if other else math.nan

    shown = {kind: ratio(kind, SHOWN) for kind, severity in errors if severity == SHOWN}
    own, other = (np.array([math.fsum(pair[i] for pair in some) for some in images.values()]) for i in (0, 1))
    by_severity = {severity: ratio(severity=severity) for _, severity in sorted(errors)}
    return Heat(result, shown, by_severity, ratio_of(own, other, **bootstrap(result)))
