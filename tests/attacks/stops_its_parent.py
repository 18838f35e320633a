"""Stops the process that reads it, which then hears nothing."""

import os
import signal

from tests.attacks.making import method

METHODS = (method("stops-its-parent"),)
ROW = ("failed", "it cannot be read", "")
os.kill(os.getppid(), signal.SIGSTOP)
