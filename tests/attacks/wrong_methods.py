"""METHODS of a wrong type."""

METHODS = {"name": "wrong"}
ROW = ("failed", "expected a Method, several of them", "")
