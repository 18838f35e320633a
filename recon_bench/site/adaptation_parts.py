"""Adaptation for a reader: what each way reaches, what closes a gap, and what has to be said of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from recon_bench.results import Result
from recon_bench.rules import LEAST_GAP
from recon_bench.site.cells import decimal, named, number, signed
from recon_bench.site.shift_parts import counts, within
from recon_bench.site.text import duration, fixed
from recon_bench.tables.adaptation import ADAPTED, Adaptation
from recon_bench.tables.selection import where
from recon_bench.tables.shift import Values

WAYS = {  # those that matter most are on the left
    "naive": "A1 put in",
    "fitted": "Fitted",
    "reused": "Reused",
    "refitted": "Refitted",
    "alone": "Fitted to one, gain",
    "home": "Home",
    "ignorant": "Ignorant",
    "oracle": "Oracle",
}
whole, tenths = (partial(decimal, digits=count) for count in (0, 1))


def adaptation(each: Adaptation, called: Mapping[str, str]) -> dict[str, Any]:
    """A row of the table of adaptations."""
    cost = each.costs.get("fitted", {})
    title, best = each.classical
    return named(each.result.method, called[each.shift]) | {
        "shift": called[each.shift],
        "top": WAYS[each.top],
        "ways": [reached(each, way) for way in WAYS],
        "classical": number(best) | {"ends": title},
        "closed": number(100 * each.best, tenths),
        "seconds": number(cost.get("seconds", math.nan), tenths) | {"ends": took(cost, each.result)},
        "mib": number(cost.get("mib") or math.nan, whole),  # without a step there is none
        "error": error(each),
    }


def reached(each: Adaptation, way: str) -> dict[str, str]:
    """PSNR with the share of the gap that is closed; of what is fitted to single images the gain on these alone."""
    if way == "alone":
        return number(each.gained(way), signed) | {"ends": counts([each.values.get(way, {})]) * (way in each.values)}
    return number(each.psnr(way)) | {"ends": share(each.closed(way)) if way in ADAPTED else ""}


def error(each: Adaptation) -> dict[str, str]:
    """Of a parameter; one that was not taken has none to compare."""
    off = each.parameter.get("parameter_error", math.nan)
    if each.rejected:
        return {"raw": "", "text": "rejected", "ends": f"{fixed(off, 3)} off"}
    return number(off) | ({} if math.isnan(off) else {"text": fixed(off, 3)})


def remarks(adapted: Sequence[Adaptation], called: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """What is to be said of each adaptation."""
    for each in adapted:
        notes = {way: parted(note) for way, note in each.notes.items() if way and not note.startswith("not applicable")}
        said = [f"{WAYS[way].partition(',')[0]}: {'; '.join(parts)}" for way, parts in notes.items() if parts]
        if each.rejected:
            said.insert(0, rejection(each))
        if each.misled:
            falls = [f"{WAYS[w].partition(',')[0].lower()} {a:.3f} to {b:.3f}" for w, (a, b) in each.misled.items()]
            said.append(f"worse images of a smaller held-out misfit: {', '.join(falls)}")
        if each.undoing > 0:
            closed = f"from where the best way closes {share(each.beyond)}"
            said.append(f"A1 put in is {each.undoing:.2f} dB below ignorant, {closed}")
        if said:
            yield {"title": f"{each.result.method['title']}, {within(called[each.shift])}", "text": "; ".join(said)}


def parted(note: str) -> list[str]:
    """The parts of a note, without that on a parameter."""
    return [part for part in note.split("; ") if not part.startswith("cannot identify")]


def rejection(each: Adaptation) -> str:
    """Why a parameter that the network found was not taken."""
    (note,) = [part for part in each.notes.get("naive", "").split("; ") if part.startswith("cannot identify")] or [""]
    value, off = (fixed(each.parameter[name], 3) for name in ("parameter", "parameter_error"))
    why = "; ".join(filter(None, [note.rpartition(": ")[2], asked(each.asked)]))
    return f"the network found {value}, {off} from the truth, and the rule rejected it ({why}): that of A0 was kept"


def asked(part: float) -> str:
    """What the rule asks of the misfit."""
    return "the misfit falls by too little" if math.isnan(part) else f"a fall of {100 * part:.0f} % is asked"


def closing(adapted: Sequence[Adaptation], called: Mapping[str, str]) -> str:
    """Of which gaps half or more is closed, where a parameter of A1 alone does it, which naive use has as well, and
    what is known of the others."""
    wide = [each for each in adapted if each.gap >= LEAST_GAP]
    half = [each for each in wide if each.best >= 0.5]
    named = dict[str, list[str]]()
    for each in half:
        found = ", by finding the parameter" * (each.bottom == "ignorant" and each.closed("naive") >= 0.5)
        named.setdefault(f"{within(called[each.shift])}{found}", []).append(each.result.method["title"])
    closed = f"{len(half)} {'is' if len(half) == 1 else 'are'} closed by half or more"
    count = f"Of {len(wide)} gaps of at least {LEAST_GAP:g} dB, {closed}"
    if not wide:
        return ""
    known = [each for each in wide if not math.isnan(each.reached) and not math.isnan(each.classical[1])]
    reach = sum(each.reached >= each.classical[1] for each in known)
    beside = f"In {reach} of {len(known)} the best way of adaptation reaches the best classical method told A1."
    said = "".join(f" ({where}: {'; '.join(titles)})" for where, titles in named.items())
    parts = [f"{count}{said}.", reason(wide), beside * bool(known)]
    return " ".join(filter(None, parts))


def reason(wide: Sequence[Adaptation]) -> str:
    """What was measured that speaks of why other gaps are not closed by half: of each gap one thing."""
    others = [each for each in wide if not each.best >= 0.5]
    rejected = [each for each in others if each.rejected]
    noise = [each for each in others if each.at_noise and not each.rejected]
    rest = [each for each in others if not each.rejected and not each.at_noise]
    made = [each for each in rest if not math.isnan(each.closed("fitted"))]
    fitted = [each for each in made if each.explained]
    most = max((each.closed("fitted") for each in fitted), default=math.nan)
    any_way = max((each.best for each in fitted), default=math.nan)
    none, left = len(rest) - len(made), len(made) - len(fitted)
    parts = [
        f"in {len(rejected)} the parameter was rejected" * bool(rejected),
        f"in {len(noise)} held-out data were explained to within their noise before the first step, which ends a fit"
        * bool(noise),
        f"in {len(fitted)} fitting explained them better and closed {share(most)} at most, any way {share(any_way)}"
        * bool(fitted),
        f"in {left} no step of a fit explained them better" * bool(left),
        f"in {none} fitting has no images" * bool(none),
    ]
    said = "; ".join(filter(None, parts))
    return f"Of the other {len(others)}: {said}." if said else ""


def share(value: float) -> str:
    """A share in percent; nothing where it is not known."""
    return f"{100 * value:z.1f} %".replace("-", "−") if math.isfinite(value) else ""


def took(cost: Values, result: Result) -> str:
    """Steps and time of an adaptation, and where."""
    known = {"steps", "seconds"} <= cost.keys()
    return f"{cost['steps']:.0f} steps, {duration(cost['seconds'])} on {where(result)}" if known else ""
