"""Brings what was measured apart, by several machines, into one results folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from recon_bench.results import confirmations
from recon_bench.results.files import Result, ResultError, load, parse, refused, write_card
from recon_bench.storage import replace_file


def merge(sources: Sequence[Path], target: Path) -> list[Result]:
    """Copy the results of the ``sources`` to ``target``, with pictures, cards and confirmations; those that were new.

    What ``target`` has stays as it is, so that merging twice is merging once. ResultError, before anything is copied,
    where a file is damaged or two files of one name differ.
    """
    found = []
    for source in sources:
        loaded, problems = load(source)
        for problem in [*problems, *confirmations.violations(source)]:
            raise ResultError(problem)
        found += loaded
    new = copy(found, target)
    known = confirmations.read(target)
    more = [entry for source in sources for entry in confirmations.read(source)]
    if missing := [entry for i, entry in enumerate(more) if entry not in known and entry not in more[:i]]:
        confirmations.append(missing, target)
    return new


def copy(found: Iterable[Result], target: Path) -> list[Result]:
    """Copy results that were read from files, with their pictures and cards, to ``target``; those that were new.

    ResultError, before anything is copied, where two files of one name differ.
    """
    places: dict[Path, Result] = {}
    for result in found:
        assert result.path is not None
        place = result.folder(target) / result.path.name
        other = places[place].path if place in places else place if place.exists() else None
        if other is not None and other.read_bytes() != result.path.read_bytes():
            raise ResultError(f"{result.path} and {other} have one name and differ: nothing was copied")
        places.setdefault(place, result)
    new = {place: result for place, result in places.items() if not place.exists()}
    for place, result in new.items():
        assert result.path is not None
        _copy_card(result.path.parent.parent / f"task-{result.task['hash']}.json", place.parent.parent)
        for picture in result.images.values():
            _copy(result.path.with_name(picture["file"]), place.with_name(picture["file"]))
        _copy(result.path, place)  # last: a result has its pictures, whenever this is ended
    return list(new.values())


def _copy_card(path: Path, folder: Path) -> None:
    """Copy the card of a task, or, to the one that is there, those pictures that it lacks."""
    place = folder / path.name
    if not path.exists():
        return
    card = parse(path)
    known = parse(place) if place.exists() else {**card, "images": {}}
    lacking = {name: picture for name, picture in card["images"].items() if name not in known["images"]}
    if place.exists() and not lacking:
        return
    for picture in lacking.values():
        _copy(path.with_name(picture["file"]), folder / picture["file"])
    content = {name: value for name, value in known.items() if name != "seal"}
    write_card(content | {"images": {**known["images"], **lacking}}, folder.parent)


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, source.read_bytes())
    except OSError as error:
        raise refused(target, error) from error
