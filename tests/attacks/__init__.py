"""Method files that cheat, and ``honest.py`` beside them. ROW of each is what must become of it.

ROW: status and reason (a regular expression) of the accuracy, and what is found of its conduct, if it is measured.
"""
