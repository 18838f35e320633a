"""Where everything of the site is: every address, on pages and in charts, is made here.

A *place* is a path below the root of the site; pages link to one another relatively, so that they open from disk.
"""

from __future__ import annotations

from pathlib import PurePath


def place(page: str, name: str = "") -> str:
    """The file of a page: ``trust.html`` of the page ``trust``, ``board/NAME.html`` of the board called NAME."""
    return f"{page}/{name}.html" if name else f"{page}.html"


def root(here: str) -> str:
    """The way from the place ``here`` up to the root of the site; any place may follow it."""
    return "../" * here.count("/")


def link(here: str, page: str, name: str = "", part: str = "") -> str:
    """The address of a page for a reader of the place ``here``; ``part`` is the id of what is to be seen there."""
    return root(here) + place(page, name) + (f"#{part}" if part else "")


def result_file(path: PurePath) -> str:
    """The place of a file of the results folder, ``path`` below it."""
    task, *rest = path.parts
    return f"results/{task}/{'.'.join(rest)}"


def picture_file(name: str) -> str:
    """The place of a picture that the site makes."""
    return f"pictures/{name}"
