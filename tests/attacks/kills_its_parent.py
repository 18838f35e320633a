"""Ends the process that measures it."""

import os
import signal

from tests.attacks.making import method


def reconstruct(y, A):
    os.kill(os.getppid(), signal.SIGKILL)
    return y


METHODS = (method("kills-its-parent", reconstruct),)
ROW = ("failed", "the process was ended by SIGKILL", "")
