"""Has a name that it may not have."""

from tests.attacks.making import method

METHODS = (method("fbp"),)
ROW = ("failed", "the name .fbp. is taken by .*fbp.py", "")
