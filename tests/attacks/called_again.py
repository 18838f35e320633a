"""Has a name that it may not have."""

from tests.attacks.making import method

METHODS = (method("honest"),)
ROW = ("failed", "the name .honest. is taken by .*honest.py", "")
