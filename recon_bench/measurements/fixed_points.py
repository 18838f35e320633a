"""Fixed points: whether the equilibria that a method looks for are found, at what cost, and how right gradients are.

For every method that finds its image by :func:`recon_bench.implicit.equilibrium`, under the settings and the tolerance
of the board; each of the first test images is a batch of its own. The gradient of the backward rule is compared with an
exact one for a random gradient: a rule that solves stops at its tolerance, K phantom steps are K terms of a series, and
the Jacobian-free rule leaves out all but the first. What a method is trained by need not be this rule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from recon_bench.core import NotApplicable
from recon_bench.fixed_point import Limits
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import pictures, quality
from recon_bench.scoring.equilibria import Effort, FixedPoint
from recon_bench.scoring.host import Host, host, reason


@dataclass(frozen=True)
class Protocol:
    """``images``: test images at most; ``power`` iterations for the contraction; ``seed`` of random gradients.

    The exact gradient: Anderson acceleration with so many ``products`` with J* at most, to a ``tolerance`` of the
    relative residual, with a ``history``.
    """

    images: int = 10
    power: int = 20
    products: int = 200
    tolerance: float = 1e-6
    history: int = 20
    seed: int = 0

    @property
    def effort(self) -> Effort:
        """As the host is told."""
        limits = Limits(self.products, self.tolerance, self.history, regularisation=1e-10)
        return Effort(self.power, limits, self.seed)


PROTOCOL = Protocol()


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """A record for each test image, and one more for each further equilibrium that it needs.

    NotApplicable where the method looks for none.
    """
    method, test, seed = host(cell), cell.task.samples("test"), cell.rules.seeds[0]
    method.set_up(cell.settings, seed)
    for index in range(min(PROTOCOL.images, cell.rules.images, len(test))):
        empty = Record(sample=pictures.name(index), seed=seed)
        if empty.key not in done:
            yield from of_image(method, test[index].data, empty)


def of_image(method: Host, y: Tensor, empty: Record) -> Iterator[Record]:
    """Records of the data ``y`` (*range_shape) of one image, filled into the ``empty`` one."""
    try:
        found = method.fixed_points(y[None], PROTOCOL.effort)
    except Exception as error:  # a method may raise anything; the other images go on
        yield dataclasses.replace(empty, error=reason(error, method.device))
        return
    if not found:
        raise NotApplicable("looks for no fixed point")
    for number, point in enumerate(found):
        sample = empty.sample + f"-{number + 1}" * bool(number)
        yield dataclasses.replace(empty, sample=sample, values=values(point), note=point.note)


def values(point: FixedPoint) -> dict[str, float]:
    """What is known, by metric."""
    known = {
        "converged": float(point.converged),
        "residual": point.residual,
        "map_evaluations": float(point.forward),
        "adjoint_products": float(point.backward),
        "contraction": point.contraction,
        "gradient_error": point.gradient_error,
    }
    return quality.finite(known)


METRICS = (
    Metric("converged", "Share of equilibria found to the tolerance", "", "higher"),
    Metric("residual", "Residual of the equilibrium", "", "lower", 5),
    Metric("map_evaluations", "Evaluations of the map, forward", "", "lower", 1),
    Metric("adjoint_products", "Products with the adjoint Jacobian, backward", "", "lower", 1),
    Metric("contraction", "Norm of the map's Jacobian", "", "lower", 3),
    Metric("gradient_error", "Relative error of the backward rule", "", "lower", 4),
)
MEASUREMENT = Measurement(
    name="fixed-point",
    version=1,
    title="How well equilibria are found",
    metrics=METRICS,
    measure=measure,
    protocol=PROTOCOL,
    order=4,
    hidden=tuple(metric.name for metric in METRICS),
)
