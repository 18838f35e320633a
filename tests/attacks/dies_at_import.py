"""Ends the process that imports it without a word."""

import os

from tests.attacks.making import method

METHODS = (method("dies-at-import"),)
ROW = ("failed", "its import ended the process, which ended with exit status 0", "")
os._exit(0)
