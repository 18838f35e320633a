"""Ends the process that measures it, and leaves one of its own in a session of its own."""

import os
import signal
import time

from tests.attacks.making import method


def reconstruct(y, A):
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
        os._exit(0)
    os.kill(os.getppid(), signal.SIGKILL)
    return y


METHODS = (method("kills-its-parent", reconstruct),)
ROW = ("failed", "the process was ended by SIGKILL", "")
