"""Can these numbers be trusted: published figures beside ours."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from recon_bench.site.addresses import link
from recon_bench.site.model import Site, records
from recon_bench.site.page import Page
from recon_bench.site.text import fixed

VERDICTS = {"yes": ("agrees", "good"), "no": ("disagrees", "bad")}


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """Published figures beside ours, and a sentence that counts them."""
    titles = {board.task: site.title(board) for board in site.boards}
    names = {name: header["title"] for name, header in site.methods().items()}
    rows = []
    for figure in records(site.published):
        verdict, tone = VERDICTS.get(figure["agrees"], (figure["agrees"], ""))
        digits = 2 if abs(figure["published"]) >= 2 else 3
        known = not math.isnan(figure["ours"])
        row = {key: figure[key] for key in ("remark", "source")} | {"verdict": verdict, "tone": tone}
        row |= {"metric": figure["metric"].upper(), "published": fixed(figure["published"], digits)}
        row["task"] = titles.get(figure["task"], figure["task"])
        row["task_href"] = link(here, "board", figure["task"]) if figure["task"] in titles else ""
        row["method"] = names.get(figure["method"], figure["method"])
        row["ours"] = fixed(figure["ours"], digits) if known else "–"
        row["interval"] = (
            "" if math.isnan(figure["low"]) else f"[{fixed(figure['low'], digits)}, {fixed(figure['high'], digits)}]"
        )
        gap = figure["ours"] - figure["published"]
        row["difference"] = f"{'+' if gap > 0 else ''}{fixed(gap, digits)}" if known else "–"
        rows.append(row)
    said = Counter(site.published["agrees"])
    compared = said["yes"] + said["no"]
    verdict = f"Of {len(rows)} published figures, {compared} are measured and can be compared strictly; "
    verdict += f"ours agree with {said['yes']} of these."
    return {"rows": rows, "verdict": verdict}


PAGE = Page("trust", "trust.html", content, section="trust", menu="Can you trust these numbers?", order=3)
