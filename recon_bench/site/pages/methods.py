"""The list of all methods."""

from __future__ import annotations

from typing import Any

from recon_bench.site.model import Site
from recon_bench.site.page import Page


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """Newest header of each method, in order of family and title."""
    return {"methods": list(site.methods().values())}


PAGE = Page("methods", "methods.html", content, section="methods", menu="Methods", order=2)
