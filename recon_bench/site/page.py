"""What a page of the site is, and how all of them are found: one module of ``pages`` each, and nothing else lists them.

Adding a page is adding a module that exports ``PAGE``, and its template.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from recon_bench.site import addresses, pages
from recon_bench.site.model import Site
from recon_bench.tables.board import Board


@dataclass(frozen=True)
class Page:
    """One kind of page: its place, its template, its content and the files that it needs.

    There is one for each of ``each(site)``, names with whatever the page is about, at ``place(name, that name)`` of
    :mod:`recon_bench.site.addresses`; by default a single one. ``content(site, here, item)`` gives what the template is
    filled with, as plain data; ``here`` is the page's place. ``files(site, name, item)`` are texts by file name, put
    beside it. ``menu`` is its text in the navigation of the site (``menu_part``: the id of where that leads, ``order``:
    lower is further left), ``tab`` that among the pages of a task, for pages that are about a board each. ``section``
    names the page whose entry in the navigation is marked.
    """

    name: str
    template: str
    content: Callable[[Site, str, Any], dict[str, Any]]
    each: Callable[[Site], Mapping[str, Any]] = lambda site: {"": None}
    files: Callable[[Site, str, Any], Mapping[str, str]] = lambda site, name, item: {}
    section: str = ""
    menu: str = ""
    menu_part: str = ""
    tab: str = ""
    order: int = 0


class NoPage(TypeError):
    """A module of ``pages`` that exports no page."""


def find() -> list[Page]:
    """The page of every module of ``pages``, in their order; raises :class:`NoPage` where there is none."""
    found = []
    for module in pkgutil.iter_modules(pages.__path__):
        page = getattr(importlib.import_module(f"{pages.__name__}.{module.name}"), "PAGE", None)
        if not isinstance(page, Page):
            raise NoPage(f"{pages.__name__}.{module.name} exports no PAGE: end it with PAGE = Page(...)")
        found.append(page)
    return sorted(found, key=lambda page: (page.order, page.name))


def frame(site: Site, known: Sequence[Page], page: Page, here: str, item: Any) -> dict[str, Any]:
    """What every page has besides its content: ways to others, the navigation, and the tabs of a task."""
    link = partial(addresses.link, here)
    entries = [other for other in known if other.menu]
    menu = [(link(other.name, part=other.menu_part), other.menu, other.name == page.section) for other in entries]
    tabs = list(_tabs(site, known, page, item, link)) if page.tab else []
    return {"root": addresses.root(here), "link": link, "menu": menu, "tabs": tabs}


def _tabs(
    site: Site, known: Sequence[Page], page: Page, board: Board, link: Callable[..., str]
) -> Iterator[tuple[str, str, bool]]:
    """Links between the pages of one task: (address, text, whether it is this page)."""
    for other in known:
        if other.tab:
            yield link(other.name, _name(other.each(site), board)), other.tab, other is page
    for other_board in site.boards:
        if other_board.task == board.task and other_board is not board:
            yield link("board", site.stem(other_board)), f"{other_board.rules['name'].capitalize()} rules", False


def _name(names: Mapping[str, Board], board: Board) -> str:
    """The name of the page of this board, or of another one of its task."""
    own = [name for name, item in names.items() if item is board]
    return (own or [name for name, item in names.items() if item.task == board.task])[0]
