"""Under which protocol the numbers were made, where and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from recon_bench.results import Result
from recon_bench.site.model import Site, commit
from recon_bench.site.page import Page
from recon_bench.tables.columns import better
from recon_bench.tables.export import MEANINGS


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """Rules, measurements and machines of the results shown."""
    cells = [cell for board in site.boards for cell in board.cells.values()]
    cells += [result for found in site.aside.values() for result in found]
    rules = {board.rules["hash"]: board.rules for board in site.boards}
    kinds = {cell.measurement["hash"]: cell for cell in cells}
    return {
        "rules": list(rules.values()),
        "rule_names": [(name, text) for name, text in MEANINGS.items() if any(name in r for r in rules.values())],
        "measurements": sorted(map(measurement, kinds.values()), key=lambda m: (m["kind"], m["version"])),
        "machines": machines(cells),
        "problems": site.problems,
    }


def measurement(cell: Result) -> dict[str, Any]:
    """What the header of a result says of its measurement, with which values win on a board."""
    metrics = [{**metric, "better": better(metric["name"], metric["better"])} for metric in cell.measurement["metrics"]]
    return {**cell.measurement, "kind": cell.kind, "metrics": metrics}


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


PAGE = Page("protocol", "protocol.html", content, section="protocol", menu="Protocol", order=4)
