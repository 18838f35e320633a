"""Reads and writes result files and task cards: the only door to the results folder.

    results/<task>/task-<hash>.json                         the card of one version of a task
    results/<task>/<method>/<kind>-<UTC time>-<6 hex>.json  one run of one cell, valid against schema.json

Files are written once and never changed. Each ends with a seal, the sha256 of the text before it: reading 10,000
files takes seconds, and one that was edited by hand or cut short is still told from one that a run wrote.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from jsonschema import Draft202012Validator

from recon_bench.results import confirmations, declared, marks
from recon_bench.results.result import CONTENT, Json, Result, kind_of
from recon_bench.storage import full, replace_file, sha256

SEAL = '"seal": '


class ResultError(Exception):
    """A result file or card that cannot be read, is not valid, or cannot be written; the text names the file."""


class DiskFull(ResultError):
    """There is no room for a result file or card, nor for any other."""


def unused(result: Result, root: Path) -> Result:
    """The result with a file name that is not taken below ``root``: a number is added to its provenance if need be."""
    for number in itertools.count(2):
        if not os.path.exists(_place(result, root)):  # noqa: PTH110  # False, too, for a name that no file can have
            return result
        result = dataclasses.replace(result, provenance={**result.provenance, "number": number})
    raise AssertionError


def write(result: Result, root: Path) -> Path:
    """Write atomically; its path. Nothing is overwritten.

    Raises :class:`DiskFull`, and :class:`ResultError` for invalid content, a file that is there already or a disk that
    refuses it for another reason.
    """
    path = _place(result, root)
    if os.path.exists(path):  # noqa: PTH110
        raise ResultError(f"{path}: not written, it is there already, and results are never overwritten")
    return _write(path, result.data())


def _place(result: Result, root: Path) -> Path:
    return result.folder(root) / f"{result.stem}.json"


def write_card(card: Json, root: Path) -> Path:
    """Write a task card atomically to where its results will look for it; its path."""
    return _write(root / str(card["name"]) / f"task-{card['hash']}.json", card, "card")


def load(root: Path, without: Collection[str] = ()) -> tuple[list[Result], list[str]]:
    """All results below ``root`` in order of path, and one line for each file that could not be used.

    Files whose names say that they are of a kind ``without`` interest are not read.
    Full validation is left to :func:`recon_bench.results.check.check`; here only the seal and the content's shape are.
    """
    results, problems = [], []
    confirmed: dict[str, list[confirmations.Entry]] = {}
    for entry in confirmations.read(root):
        confirmed.setdefault(entry.method, []).append(entry)
    marked, submitted = marks.read(root), declared.cards(root)
    with _no_collection():
        for path in result_files(root):
            if without and kind_of(path) in without:
                continue
            try:
                data = parse(path)
                result = to_result(data, path)
                name, file = result.method["name"], path.relative_to(root).as_posix()
                mark, card = marked.of(name, file, data["seal"]), submitted.get(name, {})
                result = dataclasses.replace(result, confirmed=confirmed.get(name, ()), mark=mark, card=card)
                results.append(result)
            except ResultError as error:
                problems.append(str(error))
    return results, problems


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without garbage collection, which takes half the time of reading many files that all stay alive."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def cards(root: Path) -> dict[str, dict[str, Any]]:
    """Task cards by task hash; one that cannot be read is left to :func:`recon_bench.results.check.check`."""
    found = {}
    for path in card_files(root):
        try:
            card = parse(path)
        except ResultError:
            continue
        found[str(card.get("hash"))] = card
    return found


def result_files(root: Path) -> list[Path]:
    """Paths of all result files below ``root``, sorted."""
    return sorted(root.glob("[!.]*/[!.]*/[!.]*.json"))


def card_files(root: Path) -> list[Path]:
    """Paths of all task cards below ``root``, sorted."""
    return sorted(root.glob("[!.]*/task-*.json"))


def to_result(data: dict[str, Any], path: Path) -> Result:
    """A Result after cheap checks of its shape, so that later code may rely on every key being there.

    ResultError where one is missing.
    """
    for name, keys in _required_keys().items():
        part = data if name == "" else data[name]
        if not isinstance(part, dict) or not keys <= part.keys():
            missing = sorted(keys - part.keys()) if isinstance(part, dict) else [f"an object, found {part!r:.40}"]
            raise ResultError(f"{path}: {name or 'the file'} lacks {', '.join(missing)}; see `recon-bench check`")
    record_keys = {"sample", "values", "at", "seed", "error", "note"}
    if not all(isinstance(record, dict) and record.keys() == record_keys for record in data["records"]):
        raise ResultError(f"{path}: expected records with the keys {', '.join(sorted(record_keys))}")
    return Result(**{name: data[name] for name in CONTENT}, path=path)


@cache
def _required_keys() -> dict[str, frozenset[str]]:
    properties = _schema()["properties"]
    nested = {name: frozenset(part["required"]) for name, part in properties.items() if "required" in part}
    return {"": frozenset(_schema()["required"]), **nested}


@cache
def _schema() -> dict[str, Any]:
    return json.loads((files("recon_bench.results") / "schema.json").read_text(encoding="utf-8"))


@cache
def _validator(part: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{part}", "$defs": _schema()["$defs"]} if part else _schema())


def violations(data: Any, part: str = "") -> Iterator[str]:
    """What is against the schema of a result, or of ``part`` ("card"): the field, what was expected and found."""
    for error in _validator(part).iter_errors(data):
        found = repr(error.instance) if len(repr(error.instance)) < 60 else f"{repr(error.instance)[:57]}..."
        expected = error.message if error.validator in ("required", "additionalProperties") else ""
        expected = expected or f"expected {error.validator} {error.validator_value!r}, found {found}"
        yield f"field {error.json_path}: {expected}"


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON allows")


_DECODER = json.JSONDecoder(parse_constant=_constant)


def parse(path: Path) -> dict[str, Any]:
    """The content of a sealed file; raises :class:`ResultError` where it is missing, cut short or edited."""
    try:
        text = path.read_text(encoding="utf-8")
        data = _DECODER.decode(text)
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        advice = "Restore the file from git or run its cell again."
        raise ResultError(f"{path}: is not a whole JSON file ({error}). {advice}") from error
    if not isinstance(data, dict) or "seal" not in data:
        raise ResultError(f"{path}: expected an object that ends with a seal, as `recon-bench run` writes it")
    found = sha256(text.rpartition(SEAL)[0].encode())
    if data["seal"] != found:
        seal = str(data["seal"])[:12]
        raise ResultError(
            f"{path}: was changed after it was written (its seal is {seal}…, its content gives {found[:12]}…). "
            "Restore the file from git or run its cell again."
        )
    return data


def _write(path: Path, data: Json, part: str = "") -> Path:
    try:
        text = _text(data).encode()
    except (TypeError, ValueError) as error:
        raise ResultError(f"{path}: not written, its content is not JSON ({error})") from error
    for violation in violations(json.loads(text), part):
        raise ResultError(f"{path}: not written, {violation}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)
    except OSError as error:
        raise refused(path, error) from error
    return path


def refused(path: Path, error: OSError) -> ResultError:
    """What to raise where ``path`` could not be written."""
    said = f"{path}: could not be written ({error.strerror or error})"
    if full(error):
        advice = "Free some space there or choose another folder with --results; what was finished before is kept."
        return DiskFull(f"{said}. {advice}")
    return ResultError(said)


def _text(data: Json) -> str:
    """Sealed JSON with one top-level entry or record a line, so that git shows what differs."""
    lines = []
    for name, value in data.items():
        if name == "records":
            rows = ",\n".join(json.dumps(record, allow_nan=False) for record in value)
            lines.append(f'"records": [\n{rows}\n]')
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(value, allow_nan=False, ensure_ascii=False)}")
    text = "{\n" + ",\n".join(lines) + ",\n"
    return f'{text}{SEAL}"{sha256(text.encode())}"\n}}\n'
