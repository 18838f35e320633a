"""METHODS of a wrong type."""

METHODS = {"name": "wrong"}
ROW = ("failed", "expected METHODS to be a tuple of Method", "")
