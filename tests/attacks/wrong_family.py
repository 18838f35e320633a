"""Is of a family that there is none of."""

from tests.attacks.making import method

METHODS = (method("wrong-family", family="best"),)
ROW = ("failed", "wrong-family: expected a family of direct, .*got 'best'", "")
