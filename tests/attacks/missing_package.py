"""Needs a package that is not there."""

import a_package_that_is_not_there

METHODS = (a_package_that_is_not_there,)
ROW = ("failed", "its import raised ModuleNotFoundError", "")
