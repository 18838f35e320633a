"""Pages on the benchmark itself: can its numbers be trusted, and under which protocol were they made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from recon_bench.results import Result
from recon_bench.site.model import Site, commit, records
from recon_bench.site.pages.methods import methods
from recon_bench.site.text import fixed
from recon_bench.tables.export import MEANINGS

VERDICTS = {"yes": ("agrees", "good"), "no": ("disagrees", "bad")}


def trust(site: Site) -> dict[str, Any]:
    """Published figures beside ours, and a sentence that counts them."""
    titles = {board.task: site.title(board) for board in site.boards}
    names = {name: header["title"] for name, header in methods(site).items()}
    rows = []
    for figure in records(site.published):
        verdict, tone = VERDICTS.get(figure["agrees"], (figure["agrees"], ""))
        digits = 2 if abs(figure["published"]) >= 2 else 3
        known = not math.isnan(figure["ours"])
        row = {key: figure[key] for key in ("remark", "source")} | {"verdict": verdict, "tone": tone}
        row |= {"metric": figure["metric"].upper(), "published": fixed(figure["published"], digits)}
        row["task"] = titles.get(figure["task"], figure["task"])
        row["task_href"] = f"board/{figure['task']}.html" if figure["task"] in titles else ""
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
    return {"rows": rows, "verdict": verdict, "section": "trust"}


def protocol(site: Site) -> dict[str, Any]:
    """Rules, measurements and machines of the results shown."""
    cells = [cell for board in site.boards for cell in board.cells.values()]
    rules = {board.rules["hash"]: board.rules for board in site.boards}
    kinds = {cell.measurement["hash"]: {**cell.measurement, "kind": cell.kind} for cell in cells}
    return {
        "rules": list(rules.values()),
        "rule_names": [(name, text) for name, text in MEANINGS.items() if any(name in r for r in rules.values())],
        "measurements": sorted(kinds.values(), key=lambda m: (m["kind"], m["version"])),
        "machines": machines(cells),
        "problems": site.problems,
        "section": "protocol",
    }


def machines(cells: Iterable[Result]) -> list[dict[str, Any]]:
    """One row for each machine, device and thread count."""
    groups: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for made in (cell.provenance for cell in cells):
        groups.setdefault((made["machine"]["id"], made["device"], made["threads"]), []).append(made)
    rows = []
    for (identifier, device, threads), found in sorted(groups.items()):
        machine = found[0]["machine"]
        days = sorted({made["started"][:10] for made in found})
        versions = sorted({f"{n} {v}" for made in found for n, v in made["packages"].items()})
        row = {"id": identifier, "device": device, "threads": threads, "results": len(found)}
        row["machine"] = ", ".join(
            filter(None, [machine["cpu"], f"{machine['cores']} cores", machine["gpu"], machine["system"]])
        )
        row["dates"] = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        commits = Counter(commit(made) for made in found).most_common()
        row["commits"] = ", ".join(f"{name} ({count})" for name, count in commits[:4]) + (
            ", …" if len(commits) > 4 else ""
        )
        row["packages"] = ", ".join([f"Python {v}" for v in sorted({m["python"] for m in found})] + versions)
        rows.append(row)
    return rows
