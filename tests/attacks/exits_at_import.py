"""Ends the process that imports it, as if all were well."""

import sys

from tests.attacks.making import method

METHODS = (method("exits-at-import"),)
ROW = ("failed", "its import raised SystemExit: 0", "")
sys.exit(0)
