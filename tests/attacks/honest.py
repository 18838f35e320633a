"""What every attack is compared with."""

from tests.attacks.making import method

METHODS = (method("honest"),)
ROW = ("ok", "", "")
