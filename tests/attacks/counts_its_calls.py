"""Gets better with every call."""

from tests.attacks.making import honest, method

CALLS = []


def reconstruct(y, A):
    CALLS.append(len(y))
    return honest(y, A) * (1 - 0.1 / len(CALLS))


METHODS = (method("counts-its-calls", reconstruct),)
ROW = ("ok", "", "gives another image for the same data later")
