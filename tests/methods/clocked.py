"""One method writes into its image how long it took by its own clock; the others hide what they do from the clock."""

import inspect
import time
from functools import partial
from multiprocessing.connection import Connection

from recon_bench.scoring import clock
from recon_bench.scoring.guest import Guest
from recon_bench.scoring.home import TOKEN
from tests.attacks.making import honest, method

ASIDE = 0.2  # seconds


def clocked(y, A):
    begun = time.monotonic()
    time.sleep(0.002)
    x = honest(y, A)
    x[:, 0, 0] = time.monotonic() - begun
    return x


def compute():
    until = time.process_time() + ASIDE
    while time.process_time() < until:
        pass


def wait():  # as for another process that computes
    time.sleep(ASIDE)


def aside(spend, y, A):
    """Does something when it is asked for its image."""
    give = Guest.give

    def late(guest):
        spend()
        return give(guest)

    Guest.give = late
    return honest(y, A)


def say_done():
    """Tell who measures that this has done, and not again."""
    frame = inspect.currentframe()
    while "line" not in frame.f_locals:
        frame = frame.f_back
    frame.f_locals["line"].send_bytes(TOKEN)
    send = Connection.send_bytes

    def dropped(line, data):
        Connection.send_bytes = send

    Connection.send_bytes = dropped


def early(y, A):
    """Says that it has done before it begins."""
    say_done()
    compute()
    return honest(y, A)


def built_early(problem, settings):
    """The same while it is set up."""
    say_done()
    compute()
    return honest


def stops(y, A):
    """Stops the clocks that it can reach."""
    clock.seconds = lambda call, device: (0.0, call())
    time.perf_counter = time.monotonic = lambda: 0.0
    compute()
    return honest(y, A)


METHODS = (
    method("clocked", clocked),
    method("computes", partial(aside, compute)),
    method("waits", partial(aside, wait)),
    method("early", early),
    method("stops", stops),
    method("built-early", build=built_early),
)
