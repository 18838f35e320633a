"""Has a name that it may not have."""

from tests.attacks.making import method

METHODS = (method("../other"),)
ROW = ("failed", "a name of small letters", "")
