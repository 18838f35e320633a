"""Which results count: those of the newest versions, measured on one machine where the machine matters."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from recon_bench.results import Result, latest, started
from recon_bench.tables.numbers import plural

Place = tuple[str, str, int, str]
BACKEND = "csr-int32"  # of results from before it was recorded
MACHINE_UNITS = frozenset({"s", "ms", "B", "KiB", "MiB", "GiB"})


def current(results: Iterable[Result], task: str, rules: str = "full") -> tuple[list[Result], list[str]]:
    """Results of the newest version of task and rules, of each kind's newest version, and what was left out.

    What depends on the machine, as the newest version of its kind does, is of the newest version that was measured in
    its place: one of another machine does not take its place. The second is a note for the reader, or nothing. Both are
    empty where the task has no results under these rules.
    """
    own = [r for r in results if r.task["name"] == task and r.rules["name"] == rules and r.traits["board"]]
    if not own:
        return [], []
    top = max(own, key=lambda r: (r.task["version"], r.rules["version"], started(r)))
    same = [r for r in own if (r.task["hash"], r.rules["hash"]) == (top.task["hash"], top.rules["hash"])]
    free = {result.kind for result in _newest(same, lambda r: r.kind).values() if not _machine_bound(result)}

    def column(result: Result) -> tuple[str, Place | None]:
        """What is compared: a kind, where the machine matters of one place."""
        return result.kind, None if result.kind in free else place(result)

    newest = _newest(same, column)
    kept = [r for r in same if r.measurement["hash"] == newest[column(r)].measurement["hash"]]
    left = len(own) - len(kept)
    note = f"{left} older results are not ranked (another version of task, rules or measurement)"
    return kept, [note] if left else []


def _newest(results: Iterable[Result], column: Callable[[Result], Hashable]) -> dict[Hashable, Result]:
    """The result of the newest version in each column, of equals the latest."""
    ordered = sorted(results, key=lambda result: (result.measurement["version"], started(result)))
    return {column(result): result for result in ordered}


def place(result: Result) -> Place:
    """Where it was measured, as far as times depend on it: machine, device, threads and backend."""
    made = result.provenance
    return made["machine"]["id"], made["device"], made["threads"], made.get("backend") or BACKEND


def _machine_bound(result: Result) -> bool:
    return any(metric["unit"] in MACHINE_UNITS for metric in result.measurement["metrics"])


def same_machine(results: Sequence[Result]) -> tuple[list[Result], dict[str, list[str]]]:
    """Results without those of other machines, and for each method what was so left out of its row.

    The place (machine, device, threads, backend) that most methods were measured on is kept, the newest of equals: one
    submission from a stranger's machine must not empty the column.
    """
    methods: dict[str, dict[Place, set[str]]] = {}
    for result in sorted(filter(_machine_bound, results), key=started, reverse=True):
        methods.setdefault(result.kind, {}).setdefault(place(result), set()).add(result.method["name"])
    chosen = {kind: max(setups, key=lambda setup: len(setups[setup])) for kind, setups in methods.items()}
    kept = [r for r in results if r.kind not in chosen or place(r) == chosen[r.kind]]
    have = {(r.method["name"], r.kind) for r in kept}
    elsewhere: dict[str, list[str]] = {}
    for result in latest(results):
        if (result.method["name"], result.kind) not in have:
            said = f"{result.kind} measured elsewhere ({where(result)}), not compared"
            elsewhere.setdefault(result.method["name"], []).append(said)
    return kept, elsewhere


def machine_notes(compared: Iterable[Result], elsewhere: Mapping[str, list[str]]) -> list[str]:
    """For the reader of a board: where its seconds and bytes were measured, and what is not compared."""
    bound = {result.kind: result for result in compared if _machine_bound(result)}
    notes = [f"{kind} on one machine: {where(result)}" for kind, result in bound.items()]
    if elsewhere:
        notes.append(f"{len(elsewhere)} methods have results of other machines that are not compared")
    return notes


def where(result: Result) -> str:
    """Processor, device and threads, for a reader."""
    made = result.provenance
    processor = made["machine"]["gpu" if made["device"].startswith("cuda") else "cpu"]
    return f"{processor}, {made['device']}, {plural(made['threads'], 'thread')}"
