"""Methods that write into their image how long they took by their own clock; one works before and after the call."""

import time

from recon_bench.scoring.guest import Guest
from tests.attacks.making import honest, method

ASIDE = 0.05  # seconds


def reconstruct(y, A):
    begun = time.monotonic()
    time.sleep(0.002)
    x = honest(y, A)
    x[:, 0, 0] = time.monotonic() - begun
    return x


def aside(y, A):
    give = Guest.give

    def late(guest):
        until = time.process_time() + ASIDE
        while time.process_time() < until:
            pass
        return give(guest)

    Guest.give = late
    return honest(y, A)


METHODS = (method("clocked", reconstruct), method("aside", aside))
