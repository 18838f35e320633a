"""Everything that is wrong with a results folder, for `recon-bench check` and for the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recon_bench.results import Result, ResultError, card_files, parse, result_files, sha256, to_result, violations


def check(root: Path) -> list[str]:
    """Everything that is wrong below ``root``, one line each; an empty list is good news."""
    problems: list[str] = []
    known: set[tuple[str, str]] = set()
    pictures: set[Path] = set()
    for path in card_files(root):
        card = _checked(path, "card", problems)
        if card is None:
            continue
        known.add((card["name"], card["hash"]))
        if path != root / card["name"] / f"task-{card['hash']}.json":
            problems.append(f"{path}: holds the card of task {card['name']} with hash {card['hash']}; rename it")
        problems += _check_pictures(path, card["images"], pictures)
    contents: dict[str, Path] = {}
    for path in result_files(root):
        data = _checked(path, "", problems)
        if data is None:
            continue
        result = to_result(data, path)
        problems += [f"{path}: {text}" for text in _inconsistencies(result, root, known)]
        problems += _check_pictures(path, result.images, pictures)
        content = sha256(json.dumps([result.task, result.method, result.records, result.provenance]).encode())
        if content in contents:
            problems.append(f"{path}: repeats {contents[content]}; delete one of them")
        contents.setdefault(content, path)
    for picture in sorted({*root.glob("[!.]*/*.webp"), *root.glob("[!.]*/*/*.webp")} - pictures):
        problems.append(f"{picture}: belongs to no result and no card; delete it")
    return problems


def _inconsistencies(result: Result, root: Path, known: set[tuple[str, str]]) -> Iterator[str]:
    """What the schema cannot say: the content against its place, its own header, and plain sense."""
    expected = result.folder(root) / f"{result.stem}.json"
    if result.path != expected:
        yield f"its content belongs to {expected}; expected the same place and name"
    if (result.task["name"], result.task["hash"]) not in known:
        yield f"no card task-{result.task['hash']}.json in {root / result.task['name']}; add the card of that version"
    if (result.status == "ok") != (result.reason is None):
        yield f"status is {result.status!r}, reason is {result.reason!r}; expected a reason unless the status is 'ok'"
    failed = [record for record in result.records if record["error"] is not None]
    if result.status == "ok" and failed:
        yield f"status is 'ok' but {len(failed)} of {len(result.records)} records have an error"
    if result.status == "ok" and not result.records:
        yield "status is 'ok' but there are no records"
    yield from _odd_records(result)


def _odd_records(result: Result) -> Iterator[str]:
    metrics = {metric["name"]: metric for metric in result.measurement["metrics"]}
    seen: set[str] = set()
    for number, record in enumerate(result.records):
        place = f"record {number} ({record['sample']!r})"
        key = json.dumps([record["sample"], record["at"], record["seed"]], sort_keys=True)
        if key in seen:
            yield f"{place} repeats the sample, place and seed of an earlier one"
        seen.add(key)
        if not record["values"] and record["error"] is None and record["note"] is None:
            yield f"{place} has no values; expected an error or a note that says why"
        for name, value in record["values"].items():
            if name not in metrics:
                yield f"{place} has a value {name!r}; expected one of the metrics {', '.join(metrics)}"
            elif not _plausible(metrics[name], value):
                yield f"{place}: {name} = {value:g} {metrics[name]['unit']} is not plausible"


def _plausible(metric: Mapping[str, Any], value: float) -> bool:
    if metric["unit"] == "dB":
        return -200 <= value <= 400
    if metric["name"].startswith("ssim"):
        return -1 <= value <= 1 + 1e-6
    return metric["better"] == "higher" or value >= 0  # errors and costs are not negative


def _check_pictures(path: Path, images: Mapping[str, Any], seen: set[Path]) -> Iterator[str]:
    for name, image in images.items():
        picture = path.parent / image["file"]
        seen.add(picture)
        if picture.parent != path.parent or not picture.is_file():
            yield f"{path}: picture {name!r} should be {image['file']!r} beside it; it is not there"
        elif (found := sha256(picture.read_bytes())) != image["sha256"]:
            yield f"{picture}: was changed; expected sha256 {image['sha256'][:12]}…, found {found[:12]}…"


def _checked(path: Path, part: str, problems: list[str]) -> dict[str, Any] | None:
    """The content of a file if it can be read and is valid; otherwise its problems are added to the list."""
    try:
        data = parse(path)
    except ResultError as error:
        problems.append(str(error))
        return None
    found = [f"{path}: {violation}" for violation in violations(data, part)]
    problems += found
    return None if found else data
