"""Trained weights that come with the project, found by name and believed only when they are what the registry says.

``baselines/weights/registry.json`` maps a name such as ``ct-ellipses-30/unet`` to the facts of one file: sha256, bytes,
method, task, seed and architecture. A name is ``task/method``, followed by what differs from the defaults: ``-depth5``,
``-images320``, ``-seed1``. The file is ``<name>.<start of the sha256>.safetensors``, and beside it the card, ``.json``.

A file is in half precision, or of fewer bits (``quantised.py``); who asks for weights gets float32.

New weights have a new file name and the registry is changed last, by renaming: a kill leaves what was there before.
``$RECON_BENCH_WEIGHTS`` names another folder, as for trying things out.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as format_tensors
from torch import Tensor, nn

from recon_bench import quantised
from recon_bench.core import Method, NotApplicable
from recon_bench.storage import REPOSITORY, digest, locked, replace_file, sha256

State = dict[str, Tensor]
SHIPPED = REPOSITORY / "baselines" / "weights"


class WeightsError(ValueError):
    """Weights that cannot be used; the text says what was expected, what came and what to do."""


class NoWeights(WeightsError):
    """Nothing of that name is in the registry."""


class OtherArchitecture(WeightsError, NotApplicable):
    """Weights of another network: with these the method does not apply."""


def folder() -> Path:
    """Where weights are kept."""
    return Path(os.environ.get("RECON_BENCH_WEIGHTS") or SHIPPED)


def full_name(method: str, task: str, seed: int = 0, variant: str = "") -> str:
    """The name of weights: ``task/method[-variant][-seedN]``."""
    return "-".join([f"{task}/{method}"] + [variant] * bool(variant) + [f"seed{seed}"] * bool(seed))


def registry() -> dict[str, dict[str, Any]]:
    """Facts of all weights by name; empty where there is no registry. WeightsError where it cannot be read."""
    path = folder() / "registry.json"
    try:
        found = _parsed(path.read_bytes()) if path.exists() else {}
        return {name: dict(facts) for name, facts in found.items()}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}); get the file again") from error


@lru_cache(maxsize=1)  # a plan asks for it thousands of times
def _parsed(content: bytes) -> dict[str, dict[str, Any]]:
    found = json.loads(content)
    if not isinstance(found, dict) or not all(isinstance(facts, dict) for facts in found.values()):
        raise ValueError("expected an object of objects")
    return found


def check_owner(name: str, method: str, task: str) -> None:
    """Raise :class:`WeightsError` unless the weights called ``name`` are for this method and task."""
    facts = _facts(name)
    for what, asked in (("task", task), ("method", method)):
        if facts[what] != asked:
            raise WeightsError(f"{name}: expected weights of the {what} {asked}, these are for {facts[what]}")


def load_named(name: str) -> State:
    """The weights called ``name``, whatever task or method they are for: for who asks for just these.

    In float32, on the CPU. Raises :class:`NoWeights`, or :class:`WeightsError` where the file is not the one of the
    registry.
    """
    facts = _facts(name)
    path = folder() / facts["file"]
    again = "get the file again (git checkout), or train it again"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); {again}") from error
    if len(content) < facts["bytes"]:
        raise WeightsError(f"{path}: is truncated: expected {facts['bytes']} bytes, found {len(content)}; {again}")
    if (found := sha256(content)) != facts["sha256"]:
        raise WeightsError(
            f"{path}: was altered: expected sha256 {facts['sha256'][:12]}…, found {found[:12]}…; {again}"
        )
    try:
        state = quantised.decode(parse_tensors(content))
    except SafetensorError as error:
        raise WeightsError(f"{path}: is no safetensors file ({error}); {again}") from error
    except quantised.FormatError as error:
        raise WeightsError(f"{path}: cannot be unpacked: {error}; {again}") from error
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def install(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Put ``state`` into ``network``; :class:`OtherArchitecture` naming the tensors that differ."""
    if differing := _differences(network.state_dict(), state):
        more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise OtherArchitecture(
            f"the weights {name} are of another architecture: {'; '.join(differing[:4])}{more}. "
            "Use the settings they were trained with, or train the network with these"
        )
    network.load_state_dict(state)


def grown(network: nn.Module, state: Mapping[str, Tensor]) -> State:
    """``state`` in the shapes of ``network``, where that has some that are larger: what is new is as in the network."""
    result = dict(state)
    for key, own in network.state_dict().items():
        found = state.get(key)
        if found is None or found.dim() != own.dim() or any(a > b for a, b in zip(found.shape, own.shape)):
            continue
        result[key] = own.cpu().clone()
        result[key][tuple(map(slice, found.shape))] = found
    return result


def save(
    method: str,
    task: str,
    state: Mapping[str, Tensor],
    card: Mapping[str, Any],
    seed: int = 0,
    variant: str = "",
    stored: Mapping[str, Tensor] | None = None,
) -> str:
    """Keep weights and their card; gives their name. ``stored`` is what to write, or else ``state`` in half precision.

    What is stored may be packed, as by `quantised.encode`: it has the names and shapes of ``state`` when unpacked.
    """
    name = full_name(method, task, seed, variant)
    content = format_tensors(dict(halved(state) if stored is None else stored))
    seal = sha256(content)
    path = folder() / f"{name}.{seal[:8]}.safetensors"
    facts = {
        "file": str(path.relative_to(folder())),
        "sha256": seal,
        "bytes": len(content),
        "method": method,
        "task": task,
        "seed": seed,
        "variant": variant,
        "architecture": architecture(state),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder()):  # one process at a time changes the registry
        replace_file(path, content)
        replace_file(path.with_suffix(".json"), _lines(card))
        replace_file(folder() / "registry.json", _lines(dict(sorted({**registry(), name: facts}.items()))))
        for old in set(path.parent.glob(f"{name.split('/')[1]}.*")) - {path, path.with_suffix(".json")}:
            old.unlink()
    return name


def card(name: str) -> dict[str, Any]:
    """The training card of the weights called ``name``.

    Raises :class:`NoWeights`, or :class:`WeightsError` where it cannot be read.
    """
    path = (folder() / _facts(name)["file"]).with_suffix(".json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}); get the file again") from error


def spent(card: Mapping[str, Any]) -> dict[str, float]:
    """The ``samples`` and ``seconds`` of a training, with those of the weights that it started from."""
    before = card.get("start") or {"samples": 0, "seconds": 0.0}
    return {key: card[key] + before[key] for key in ("samples", "seconds")}


def halved(state: Mapping[str, Tensor]) -> State:
    """``state`` on the CPU with floating point numbers in half precision."""
    return {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous() for key, value in state.items()
    }


def architecture(state: Mapping[str, Tensor]) -> str:
    """Digest of the names and shapes of all tensors."""
    return digest({name: list(tensor.shape) for name, tensor in state.items()})


def changes(settings: Any, default: Any) -> dict[str, Any]:
    """What differs from the default settings of a learned method and makes it another network."""
    found, usual = dataclasses.asdict(settings), dataclasses.asdict(default)
    return {key: found[key] for key in found if found[key] != usual[key] and key not in ("seed", "weights")}


def variant(settings: Any, default: Any) -> str:
    """What differs from the default settings, as part of a name: "depth5-width64"; the seed has its own part."""
    return "-".join(f"{key}{value}" for key, value in changes(settings, default).items())


def taken(method: str, task: str, settings: Any, default: Any, architecture: str | None = None) -> str | None:
    """The name of the weights that a learned method takes for a task, None where there are none.

    Those that ``settings.weights`` names (:func:`named`); else those of these very settings; else those of the
    ``default`` ones where they are of this ``architecture``, or of any where that is not known. ``settings.seed`` says
    of which training.
    """
    seed, known = settings.seed, registry()
    if settings.weights:
        name = named(settings.weights, task) + f"-seed{seed}" * bool(seed)
        return name if name in known else None
    exact, plain = (full_name(method, task, seed, part) for part in (variant(settings, default), ""))
    if exact in known:
        return exact
    fits = plain in known and architecture in (None, known[plain]["architecture"])
    return plain if fits else None


def named(asked: str, task: str) -> str:
    """The full name of weights asked for by it, or by that of a method for those that it has for the ``task``."""
    return asked if "/" in asked or not asked else full_name(asked, task)


def own(method: Method, task: str, seeds: Sequence[int] = (0,), settings: Any = None) -> list[str]:
    """Names of the weights that a learned method takes for a task with these settings, in the order of ``seeds``."""
    if method.network is None:
        return []
    of_seed = [dataclasses.replace(settings or method.settings, seed=seed) for seed in seeds]
    return [name for each in of_seed if (name := taken(method.name, task, each, method.settings))]


def seals(names: Iterable[str]) -> dict[str, str]:
    """The sha256 of those weights of these names that there are: a result depends on them as on the method's file.

    WeightsError where the registry cannot be read.
    """
    known = registry()
    return {name: known[name]["sha256"] for name in names if name in known}


def variants(method: Method, task: str, pattern: str) -> dict[int, str]:
    """Names of the weights of a method for a task that differ by one number: "images" or "seed", by that number."""
    before = f"{full_name(method.name, task)}-{pattern}"
    numbers = (name.removeprefix(before) for name in registry() if name.startswith(before))
    return {int(number): before + number for number in sorted(filter(str.isdecimal, numbers), key=int)}


def facts(name: str) -> dict[str, Any]:
    """The training card of the weights called ``name`` without its curves and lists, for the header of a result.

    Raises as :func:`card`.
    """
    long = ("loss", "validation", "layers", "packages")
    return {key: value for key, value in card(name).items() if key not in long}


def _lines(data: Mapping[str, Any]) -> bytes:
    """JSON with one line for each key."""
    return ("{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(data[key])}" for key in data) + "\n}\n").encode()


def _facts(name: str) -> dict[str, Any]:
    known = registry()
    if name not in known:
        raise NoWeights(f"no weights {name} in {folder()}; there are: {', '.join(known) or 'none'}")
    return known[name]


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    lines = []
    for key in sorted(expected.keys() | found.keys()):
        wanted, got = (tuple(s[key].shape) if key in s else "nothing" for s in (expected, found))
        if wanted != got:
            lines.append(f"{key}: expected {wanted}, found {got}")
    return lines
