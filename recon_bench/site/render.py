"""The leaderboard as a folder of static files: a pure function of the files in results/, never importing torch.

Pages open from disk and touch no network. Everything is made in a folder beside the target, which then takes its
place, so that a kill leaves the old site. Pictures and raw results are hard links where the disk allows it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import jinja2

from recon_bench.results import Result, cards, load, started
from recon_bench.site.addresses import place
from recon_bench.site.model import SOURCE, Site
from recon_bench.site.page import find, frame
from recon_bench.site.text import FILTERS
from recon_bench.tables import board as boards
from recon_bench.tables.published import published

MARKER = ".recon-bench-site"
ASV = "asv"  # the folder of asv's pages
NAME = re.compile(r"[a-z][a-z0-9-]*")


class SiteError(Exception):
    """The site cannot be rendered; the text says what to do."""


def render(results: Path, out: Path, asv: Path | None = None) -> Path:
    """Render the results folder ``results`` to the folder ``out``; the path of its index.html.

    ``asv``: a folder with the pages of asv, to be a part. ``out`` is replaced as a whole. It must be absent, empty
    or a site rendered earlier.
    """
    results, out = Path(results).resolve(), Path(out).resolve()
    _check_folders(results, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        fresh.chmod(0o755)
        (fresh / MARKER).write_text("Rendered by recon-bench site, which replaces this folder as a whole.\n")
        _fill(results, fresh, out, asv)
        _swap(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return out / "index.html"


def _check_folders(results: Path, out: Path) -> None:
    if not results.is_dir():
        raise SiteError(f"{results} is not a folder of results; give the one that `recon-bench run` writes to")
    if not (SOURCE / "templates").is_dir():
        raise SiteError(f"expected the templates of the site in {SOURCE}; render from a clone of the repository")
    if out.exists() and not out.is_dir():
        raise SiteError(f"{out} is a file; give a folder for the site")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise SiteError(f"{out} holds files but no site rendered earlier; give a new folder, or empty it yourself")
    if out == results or results in out.parents or out in results.parents:
        raise SiteError(f"the site in {out} and the results in {results} must not be inside one another")


def _fill(results: Path, out: Path, old: Path, asv: Path | None) -> None:
    """Write everything into the empty folder ``out``; pictures that the site in ``old`` has are not made again."""
    loaded, problems = load(results)
    good = [result for result in loaded if _named(result)]
    problems += [f"{r.path}: expected lower-case names of task and method" for r in loaded if not _named(r)]
    site = _site(results, good, problems)
    newest = max((started(result)[0] for result in good), default="")
    footer = {"files": len(good), "newest": newest[:10], "asv": f"{ASV}/index.html" if asv else ""}
    environment, pages = _environment(), find()
    for page in pages:
        template = environment.get_template(page.template)
        for name, item in page.each(site).items():
            here = place(page.name, name)
            content = frame(site, pages, page, here, item) | page.content(site, here, item)
            _write(out / here, template.render(footer=footer, **content))
            for file, text in page.files(site, name, item).items():
                _write((out / here).with_name(file), text)
    shutil.copytree(SOURCE / "static", out / "static")
    if asv:
        shutil.copytree(asv, out / ASV)
    for source, target in site.used.items():
        _link(source, out / target)
    for target, how in site.making.items():
        _make(how, old / target, out / target)


def _named(result: Result) -> bool:
    return all(NAME.fullmatch(str(part["name"])) for part in (result.task, result.method))


def _site(root: Path, results: Sequence[Result], problems: list[str]) -> Site:
    """Boards of all tasks, those under the full rules before others of the same task."""
    groups: dict[tuple[str, str], list[Result]] = {}
    aside: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        kinds = groups if result.traits["board"] else aside
        kinds.setdefault((result.task["name"], result.rules["name"]), []).append(result)
    order = sorted(groups, key=lambda key: (key[0], key[1] != "full", key[1]))
    return Site(
        root=root,
        cards=cards(root),
        boards=[boards.board(groups[key], *key) for key in order],
        problems=problems,
        curves={key: boards.curves(groups[key], key[0], rules=key[1]) for key in order},
        published=published(results),
        aside=aside,
    )


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(SOURCE / "templates")
    strict = jinja2.StrictUndefined
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=strict, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= FILTERS
    return environment


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, target)


def _make(how: Callable[[], bytes], old: Path, target: Path) -> None:
    """A picture, whose name stands for its content, from the old site where that has it."""
    if old.is_file():
        _link(old, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(how())


def _swap(fresh: Path, out: Path) -> None:
    """Put ``fresh`` in the place of ``out``; the old folder is removed only after that."""
    old = fresh.with_name(f"{fresh.name}-old")
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)
