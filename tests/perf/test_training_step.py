"""A training step of learned primal-dual over our operator and over those of other packages, with the same network."""

from __future__ import annotations

import pytest
import torch

from baselines import learned_primal_dual
from recon_bench import learned
from recon_bench.core import Noise, Problem, Samples
from recon_bench.operators import ParallelBeam, RayTransform, evenly
from tests.perf.compare import interleave
from tests.perf.peers import OPERATORS

GEOMETRY = ParallelBeam(128, evenly(30), 183)
BATCH = 5
REMARKS = (
    "a step: forward, backward and Adam, ten iterations, batch 5; under a peer: how many times as long its fastest "
    "step of the same rounds takes (and by the medians over rounds).",
)


def step(A, precision):
    """One call is one training step of the network over ``A``."""
    nothing = Samples(0, lambda index: None)
    problem = Problem(A, Noise("gaussian", 0.025), 1.0, nothing, nothing)
    network = learned.untrained(learned_primal_dual.network, problem, learned_primal_dual.Settings()).train()
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(BATCH, *A.domain_shape, generator=generator)
    y = A(truth)

    def call():
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            x = network(y, A)
        (x - truth).square().mean().backward()
        optimiser.step()

    return call


@pytest.mark.timeout(600)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_step(precision, benchmark, tables):
    if precision == "bfloat16" and not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("this CPU has no instructions for bfloat16, so trainings are in float32")
    found = {name: make(GEOMETRY) for name, make in OPERATORS.items()}
    missing = [f"{name}: {reason}" for name, reason in found.items() if isinstance(reason, str)]
    peers = {name: step(A, precision) for name, A in found.items() if not isinstance(A, str)}
    seconds = interleave(benchmark, step(RayTransform(GEOMETRY), precision), peers, rounds=5)
    ours = seconds["ours"]
    row = {"network": "learned primal-dual, 128x128, 30 views", "in": precision, "ours": f"{ours.fastest:.2f} s"}
    for name in OPERATORS:
        both = (seconds[name].fastest / ours.fastest, seconds[name].median / ours.median) if name in seconds else ()
        row[name] = "{:.1f} ({:.1f})".format(*both) if both else "-"
    tables.add("Training step", row | {"required": "2"}, (*REMARKS, *missing))
