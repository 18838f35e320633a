"""Opens as many files as it can, and scores no better and no worse for it."""

import os

from tests.attacks.making import honest, method


def reconstruct(y, A):
    opened = []
    try:
        while True:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        assert len(opened) < 2000
        return honest(y, A)


METHODS = (method("opens-all-files", reconstruct),)
ROW = ("ok", "", "")
