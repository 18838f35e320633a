"""Says more of itself than anybody could read."""

from tests.attacks.making import method

METHODS = (method("much-to-say", summary="x" * 2_000_000),)
ROW = ("failed", "expected a header of at most 1,000,000 bytes", "")
