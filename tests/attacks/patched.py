"""Patches metrics, the writing of results, the journal and the clock, at its import and when it is called."""

import time

from recon_bench import results
from recon_bench.run import journal
from recon_bench.scoring import clock, metrics, quality
from tests.attacks.making import honest, method


def patch():
    real, counted = metrics.psnr, time.perf_counter
    metrics.psnr = lambda truth, x, data_range: real(truth, x, data_range) + 20
    quality.psnr = lambda task, truth, x: 99.0
    journal.record = lambda found: {"record": None}
    results.write = results.files.write = lambda result, root: root
    clock.seconds = lambda call, device: (1e-9, call())
    time.perf_counter = lambda: counted() / 1000


def reconstruct(y, A):
    patch()
    return honest(y, A)


patch()
METHODS = (method("patched", reconstruct),)
ROW = ("ok", "", "")
