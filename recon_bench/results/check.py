"""Everything that is wrong with a results folder, for `recon-bench check` and for the tests."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recon_bench.results import confirmations, declared, marks
from recon_bench.results.files import ResultError, card_files, parse, result_files, to_result, violations
from recon_bench.results.ledger import TIE, chosen_record
from recon_bench.results.result import Result
from recon_bench.results.traits import RANKING_KIND
from recon_bench.rules import EXACT
from recon_bench.storage import digest, sha256

Cards = dict[tuple[str, str], dict[str, Any]]
Constants = dict[tuple[str, str], list[tuple[float, Path]]]  # by hash of the task and sample

# dB. Rounding of sums over 512 x 512 pixels in double precision explains 1e-10 at the very most (2e-14 was seen), and
# no change that shows in any table is as small.
CONSTANT = 1e-9
NO_ERROR = 1e-8  # NRMSE at a PSNR of EXACT is below


def check(root: Path) -> list[str]:
    """Everything that is wrong below ``root``, one line each; an empty list is good news, as for an empty folder."""
    problems = [*confirmations.violations(root), *marks.violations(root), *declared.violations(root)]
    cards: Cards = {}
    pictures: set[Path] = set()
    for path in card_files(root):
        card = _checked(path, "card", problems)
        if card is None:
            continue
        cards[card["name"], card["hash"]] = card
        if path != root / card["name"] / f"task-{card['hash']}.json":
            problems.append(f"{path}: holds the card of task {card['name']} with hash {card['hash']}; rename it")
        problems += _check_pictures(path, card["images"], pictures)
    contents: dict[str, Path] = {}
    constants: Constants = {}
    for path in result_files(root):
        data = _checked(path, "", problems)
        if data is None:
            continue
        result = to_result(data, path)
        problems += [f"{path}: {text}" for text in _inconsistencies(result, root, cards)]
        problems += _check_pictures(path, result.images, pictures)
        content = sha256(json.dumps([result.task, result.method, result.records, result.provenance]).encode())
        if content in contents:
            problems.append(f"{path}: repeats {contents[content]}; delete one of them")
        contents.setdefault(content, path)
        for sample, constant in _constants(result):
            constants.setdefault((result.task["hash"], sample), []).append((constant, path))
    problems += _inconstant(constants)
    for picture in sorted({*root.glob("[!.]*/*.webp"), *root.glob("[!.]*/*/*.webp")} - pictures):
        problems.append(f"{picture}: belongs to no result and no card; delete it")
    return problems


def _inconsistencies(result: Result, root: Path, cards: Cards) -> Iterator[str]:
    """What the schema cannot say: the content against its place, its own header, and plain sense."""
    expected = result.folder(root) / f"{result.stem}.json"
    if result.path != expected:
        yield f"its content belongs to {expected}; expected the same place and name"
    card = cards.get((result.task["name"], result.task["hash"]))
    if card is None:
        yield f"no card task-{result.task['hash']}.json in {root / result.task['name']}; add the card of that version"
    if (result.status == "ok") != (result.reason is None):
        yield f"status is {result.status!r}, reason is {result.reason!r}; expected a reason unless the status is 'ok'"
    failed = [record for record in result.records if record["error"] is not None]
    if result.status == "ok" and failed:
        yield f"status is 'ok' but {len(failed)} of {len(result.records)} records have an error"
    if result.status == "ok" and not result.records:
        yield "status is 'ok' but there are no records"
    if result.status == "ok" and card is not None and result.kind == RANKING_KIND:
        yield from _wrong_count(result, card)
    yield from _wrong_rules(result)
    yield from _wrong_choice(result)
    yield from _odd_records(result)


def _wrong_count(result: Result, card: Mapping[str, Any]) -> Iterator[str]:
    expected = min(result.rules["images"], card["sizes"]["test"]) * len(result.rules["seeds"])
    found = sum(not record["sample"].startswith("volume:") for record in result.records)
    if found != expected:
        yield f"status is 'ok' with {found} images; rules and task card ask for {expected}, counting every seed"


def _wrong_rules(result: Result) -> Iterator[str]:
    fields = {name: value for name, value in result.rules.items() if name != "hash"}
    found = digest(fields)
    if found != result.rules["hash"]:
        yield f"the rules say that their hash is {result.rules['hash']}; their fields give {found}"


def _wrong_choice(result: Result) -> Iterator[str]:
    """The settings in the header of a tuning must be some that it tried, as good as the best of its scores."""
    metric = result.measurement["metrics"][0]
    scores = {i: r["values"][metric["name"]] for i, r in enumerate(result.records) if metric["name"] in r["values"]}
    if not result.traits["ledger"] or result.status not in ("ok", "timeout") or not scores:
        return
    sign = 1 if metric["better"] == "higher" else -1
    index, best = chosen_record(result), sign * max(sign * score for score in scores.values())
    if index is None:
        yield f"the settings {json.dumps(result.method['settings'])} are none that its ledger says were tried"
    elif sign * scores[index] < sign * best - TIE:
        yield f"its settings scored {scores[index]:g}; expected the best of the ledger, {best:g}, give or take {TIE}"


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
        psnr, nrmse = (record["values"].get(name) for name in ("psnr", "nrmse"))
        if None not in (psnr, nrmse) and (nrmse >= NO_ERROR if psnr >= EXACT else nrmse == 0):
            yield f"{place}: a PSNR of {psnr:g} dB does not go with an NRMSE of {nrmse:g}"


def _constants(result: Result) -> Iterator[tuple[str, float]]:
    """PSNR + 20 log10 NRMSE by sample: what only the truth of an image decides, so that one edit alone breaks it."""
    for record in result.records:
        values = record["values"]
        if values.get("nrmse", 0) > 0 and values.get("psnr", EXACT) < EXACT:
            yield record["sample"], values["psnr"] + 20 * math.log10(values["nrmse"])


def _inconstant(constants: Constants) -> Iterator[str]:
    for (_, sample), found in constants.items():
        middle = statistics.median_low(value for value, _ in found)
        for value, path in found:
            if abs(value - middle) > CONSTANT:
                said = f"{value:.12g} dB; expected {middle:.12g} dB, as of most of {len(found)} values"
                yield f"{path}: PSNR + 20 log10 NRMSE of {sample} is {said}: one of the two was changed"


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
