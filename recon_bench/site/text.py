"""How the site writes numbers, times, settings and references: the filters of its templates. Everything is escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s*)?(10\.\d{4,9}/[^\s,;<>\"]+)", re.IGNORECASE)
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    c: "\\" + c for c in "&%$#_{}"
}


def fixed(value: float | None, digits: int) -> str:
    """``value`` with ``digits`` after the point, more where only those show two that count; a real minus sign."""
    if value is None:
        return "–"
    if 0 < abs(value) < 10.0 ** (1 - digits):
        digits = 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{digits}f}".replace("-", "−")


def significant(value: float) -> str:
    """Four significant digits, without an exponent where that is short."""
    text = f"{value:.4g}"
    return text.replace("-", "−") if "e" not in text else text


def duration(seconds: float) -> str:
    """``seconds`` in the unit a person would choose."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


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
    if value is None:
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
    """``text`` with the characters that LaTeX treats as commands written out."""
    return "".join(TEX.get(sign, sign) for sign in text)


FILTERS = {"fixed": fixed, "duration": duration, "doi": doi, "setting": setting, "nested": nested}
