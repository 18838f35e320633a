"""How the site writes numbers, times, settings and references: the filters of its templates. Everything is escaped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from recon_bench.tables.numbers import number

DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s*)?(10\.\d{4,9}/[^\s,;<>\"]+)", re.IGNORECASE)
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    c: "\\" + c for c in "&%$#_{}"
}
TEX |= {">=": r"$\geq$", "<=": r"$\leq$", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$", "±": r"$\pm$", "−": "$-$"}
TEX |= {">": "$>$", "<": "$<$", "|": "$|$", "–": "--", "—": "---", "…": r"\ldots{}", "°": r"$^\circ$", "µ": r"$\mu$"}
TEX |= {"“": "``", "”": "''", "‘": "`", "’": "'", "²": "$^2$", "³": "$^3$", "·": r"$\cdot$", "∞": r"$\infty$"}
UNITS = ((3600, "h"), (60, "min"), (1, "s"), (0.001, "ms"))
LETTER = re.compile(r"[\u00c0-\u017f]")  # what LaTeX writes by itself, besides ASCII


def fixed(value: float | None, digits: int, unit: str = "") -> str:
    """As of :func:`recon_bench.tables.numbers.number`, with a real minus sign."""
    return "–" if value is None else number(value, digits, unit).replace("-", "−")


def significant(value: float) -> str:
    """Four significant digits, without an exponent where that is short."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
    return text.replace("-", "−") if "e" not in text else text


def duration(seconds: float) -> str:
    """``seconds`` in the unit a person would choose, with three significant digits."""
    scale, unit = next(((size, name) for size, name in UNITS if seconds >= size), UNITS[-1])
    return f"{number(seconds / scale, 0, 's')} {unit}"


def doi(text: str) -> Markup:
    """``text`` with each DOI in it as a link to doi.org."""
    parts, end = [], 0
    for match in DOI.finditer(text):
        name = match[1].rstrip(".)")
        parts += [escape(text[end : match.start()]), Markup('<a href="https://doi.org/{0}">doi:{0}</a>').format(name)]
        end = match.start(1) + len(name)
    return Markup("").join([*parts, escape(text[end:])])


def setting(value: Any) -> str:
    """A setting or a rule as a person would write it."""
    if value is None or value == "" or value == [] or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return significant(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(setting, value))
    return str(value)


def nested(value: Any) -> Markup:
    """JSON data of a task card as a description list; long lists are cut, the card in results/ is whole."""
    if isinstance(value, Mapping):
        rows = (Markup("<dt>{}</dt><dd>{}</dd>").format(name, nested(part)) for name, part in value.items())
        return Markup('<dl class="facts">{}</dl>').format(Markup("").join(rows))
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 12:
        return escape(f"{setting(value[:6])}, … {setting(value[-1])} ({len(value)} values)")
    return doi(setting(value))


def tex(text: str) -> str:
    """``text`` on one line, with what LaTeX treats as commands or has no letter for written out."""
    signs = re.findall(r">=|<=|.", " ".join(text.split()))
    return "".join(TEX.get(sign) or (sign if sign.isascii() or LETTER.match(sign) else _named(sign)) for sign in signs)


def _named(sign: str) -> str:
    """A sign by its number, a Greek letter by its name."""
    greek, _, name = unicodedata.name(sign, "").partition(" LETTER ")
    if greek == "GREEK SMALL" and name.isalpha() and name not in ("OMICRON", "LAMDA"):
        return f"$\\{name.lower()}$"
    return r"$\lambda$" if name == "LAMDA" and greek == "GREEK SMALL" else f"[U+{ord(sign):04X}]"


FILTERS = {"fixed": fixed, "duration": duration, "doi": doi, "setting": setting, "nested": nested}
