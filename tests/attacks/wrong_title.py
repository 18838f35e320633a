"""Has a title that is no text."""

from tests.attacks.making import method

METHODS = (method("wrong-title", title=3),)
ROW = ("failed", "wrong-title: expected a text as its title, got 3", "")
