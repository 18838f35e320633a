"""Names a setting as its depth that it does not have."""

from tests.attacks.making import method

METHODS = (method("wrong-depth", depth="layers"),)
ROW = ("failed", "wrong-depth: expected a setting called 'layers', which depth or search name", "")
