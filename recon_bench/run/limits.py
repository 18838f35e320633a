"""What the noise of a task leaves open of its small features, whatever the method."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import torch

from recon_bench.data import corruptions
from recon_bench.measurements import small_features
from recon_bench.scoring import inserts
from recon_bench.scoring.metrics import magnitude
from recon_bench.task import Task, Truth

KNOWN = ("gaussian", "complex-gaussian", "poisson")


def least_deviations(task: Task) -> dict[str, float]:
    """The least standard deviation of the part that is recovered of a disc, by metric: means over places.

    It is that of any unbiased estimate, if all else of the image were known (Cramér-Rao): 1 / |h / s|, h what the disc
    changes in the data and s the deviation of their noise. Empty where the law of the noise is not known.
    """
    if task.noise.kind not in KNOWN:
        return {}
    A, found = task.problem(dtype=torch.float64).operator, defaultdict[str, list[float]](list)
    for scene in small_features.scenes(task):
        truth = scene.observe(lambda same: same).truth.to(A.dtype)
        y, image = A(truth[None])[0], magnitude(truth).double().numpy()
        s = corruptions.spread(y, task.noise)
        for level in small_features.LEVELS:
            for placed in small_features.layout(task, scene.name, image, level):
                added = small_features.with_added(inserts.drawn([placed], image.shape), Truth(truth.numpy())).image
                h = A(torch.from_numpy(np.asarray(added))[None].to(A.dtype))[0] - y
                found[placed.insert.metric].append(1 / math.sqrt(float((h.abs() / s).square().sum())))
    return {metric: math.fsum(values) / len(values) for metric, values in sorted(found.items())}
