"""Has something else among its methods."""

METHODS = (3,)
ROW = ("failed", "expected METHODS to hold Method\\(...\\), got int", "")
