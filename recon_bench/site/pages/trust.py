"""Can these numbers be trusted: published figures beside ours."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from recon_bench.site.addresses import link
from recon_bench.site.model import Site, records
from recon_bench.site.page import Page
from recon_bench.site.text import fixed
from recon_bench.tables.published import AGREES, DIFFERS, MARGIN, UNKNOWN

TONES = {AGREES: "good", DIFFERS: "bad"}


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """Published figures beside ours, and a sentence that counts them."""
    titles = {board.task: site.title(board) for board in site.boards}
    names = {name: header["title"] for name, header in site.methods().items()}
    rows = []
    for figure in records(site.published):
        verdict = figure["verdict"]
        digits = 2 if abs(figure["published"]) >= 2 else 3
        known = not math.isnan(figure["ours"])
        row = {key: figure[key] for key in ("remark", "source")} | {"verdict": verdict, "tone": TONES.get(verdict, "")}
        row |= {"metric": figure["metric"].upper(), "published": fixed(figure["published"], digits)}
        row["task"] = titles.get(figure["task"], figure["task"])
        row["task_href"] = link(here, "board", figure["task"]) if figure["task"] in titles else ""
        row["method"] = names.get(figure["method"], figure["method"])
        row["ours"] = fixed(figure["ours"], digits) if known else "–"
        row["interval"] = (
            "" if math.isnan(figure["low"]) else f"[{fixed(figure['low'], digits)}, {fixed(figure['high'], digits)}]"
        )
        row["gap"] = f"{figure['gap']:+.{digits}f}".replace("-", "−") if known else "–"
        rows.append(row)
    said = Counter(site.published["verdict"])
    told = f"Of {len(rows)} published figures, {said[AGREES]} agree with ours, {said[DIFFERS]} differ"
    told += f" and {said[UNKNOWN]} are of what is not measured here." if said[UNKNOWN] else "."
    return {"rows": rows, "verdict": told, "margin": MARGIN}


PAGE = Page("trust", "trust.html", content, section="trust", menu="Can you trust these numbers?", order=3)
