"""Fixed points: whether the equilibria that a method looks for are found, at what cost, and how right gradients are.

For every method that finds its image by :func:`recon_bench.implicit.equilibrium`, under the settings and the tolerance
of the board; each of the first test images is a batch of its own. The gradient of the backward rule is compared with an
exact one for a random gradient: a rule that solves stops at its tolerance, K phantom steps are K terms of a series, and
the Jacobian-free rule leaves out all but the first. What a method is trained by need not be this rule. The rule works
as the method does, in float32; the exact gradient, at the point that was found so, in float64.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import pictures, quality
from recon_bench.scoring.answers import reason
from recon_bench.scoring.equilibria import Effort, FixedPoint
from recon_bench.scoring.host import Host, host


@dataclass(frozen=True)
class Protocol:
    """``images``: test images at most; ``power`` iterations for the contraction; ``seed`` of random gradients.

    The exact gradient: GMRES with so many ``products`` with J* at most, to a ``tolerance`` of the relative residual.
    """

    images: int = 10
    power: int = 20
    products: int = 400
    tolerance: float = 1e-6
    seed: int = 0

    @property
    def effort(self) -> Effort:
        """As the host is told."""
        return Effort(self.power, self.products, self.tolerance, self.seed)


PROTOCOL = Protocol()


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """A record for each test image, and one more for each further equilibrium that it needs.

    NotApplicable where the method looks for none.
    """
    method, test, seed = host(cell), cell.task.samples("test"), cell.rules.seeds[0]
    method.set_up(cell.settings, seed)
    examined = partial(method.fixed_points, effort=PROTOCOL.effort, settings=cell.settings, seed=seed)
    for index in range(min(PROTOCOL.images, cell.rules.images, len(test))):
        empty = Record(sample=pictures.name(index), seed=seed)
        if empty.key not in done:
            yield from of_image(method, examined, test[index].data, empty)


def of_image(
    method: Host, examined: Callable[[Tensor], list[FixedPoint]], y: Tensor, empty: Record
) -> Iterator[Record]:
    """Records of the data ``y`` (*range_shape) of one image, filled into the ``empty`` one."""
    try:
        found = examined(y[None])
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
    version=2,
    title="How well equilibria are found",
    metrics=METRICS,
    measure=measure,
    protocol=PROTOCOL,
    order=4,
    hidden=tuple(metric.name for metric in METRICS),
)
