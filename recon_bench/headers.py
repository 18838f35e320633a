"""What a method says of itself, as plain data: so it can be known without its code being run here.

A file is read by a process of its own, with a time limit; nothing of its import reaches the process that asks.
"""

from __future__ import annotations

import dataclasses
import json
import keyword
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NoReturn, get_args, get_type_hints

from recon_bench import processes
from recon_bench.core import Choice, Log, Method
from recon_bench.loading import methods_at
from recon_bench.names import UnknownName
from recon_bench.recipe import Recipe

SECONDS = 30.0  # that an import may take
LONGEST = 1_000_000  # bytes of a header
TEXT = 10_000  # characters of what an import raised
NAME = re.compile(r"[a-z][a-z0-9-]{0,79}")
TEXTS = ("title", "summary", "reference")
FAMILIES = get_args(get_type_hints(Method)["family"])


class HeaderError(ValueError):
    """A method that says of itself what cannot be, or nothing; the text says what was expected and what came."""


@dataclass(frozen=True)
class Broken:
    """A method whose header cannot be used, and the reason."""

    name: str
    reason: str


def told(method: Any) -> dict[str, Any]:
    """A method's header as JSON data; HeaderError where it is none."""
    if not isinstance(method, Method):
        raise HeaderError(f"expected METHODS to hold Method(...), got {type(method).__name__}")
    names = ("name", "family", "depth", *TEXTS)
    header = {name: getattr(method, name) for name in names}
    header["settings"] = _fields(method.settings, f"settings of {method.name!r}")
    header["search"] = {str(name): _axis(axis) for name, axis in dict(method.search).items()}
    header["learned"] = method.network is not None
    header["recipe"] = _fields(method.recipe, "recipe")
    heard(header)
    return header


def heard(header: Any) -> Method:
    """The method of a header, but for its code, which is elsewhere; HeaderError where it is none."""
    try:
        return _method(header)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise error if isinstance(error, HeaderError) else HeaderError(f"its header cannot be used: {error}") from error


def read(place: str) -> list[Method | Broken]:
    """The methods of a file or a module, without their code; HeaderError with the reason where it cannot be read.

    Anything may be in it: it is imported elsewhere, within SECONDS.
    """
    context = processes.server()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_look, args=(place, SECONDS, theirs), daemon=False)
    process.start()
    theirs.close()
    try:
        said = json.loads(ours.recv_bytes()) if ours.poll(SECONDS + 2 * processes.PATIENCE) else "it cannot be read"
    except (EOFError, OSError, ValueError):
        said = "it cannot be read"
    finally:
        processes.end(process)
        ours.close()
    if not isinstance(said, list):
        raise HeaderError(str(said))
    return [_heard(header) for header in said]


def _heard(header: Any) -> Method | Broken:
    try:
        return heard(header)
    except HeaderError as error:
        return Broken(str(header.get("name")) if isinstance(header, dict) else "", str(error))


def _look(place: str, seconds: float, answer: Connection) -> None:
    """Sends the headers of the place, or why there are none, and leaves nothing running."""
    os.setsid()
    processes.adopt_orphans()
    child = processes.fork(partial(_tell, place))
    processes.on_end_of_starter(processes.end_descendants)
    content = b""
    try:
        if child.line.poll(seconds):
            content = child.line.recv_bytes(LONGEST)
        else:
            content = json.dumps(f"its import takes more than {seconds:g} s").encode()
    except (EOFError, ConnectionError):
        content = json.dumps(f"its import ended the process, which {child.ended()}").encode()
    except OSError:
        content = json.dumps(f"expected a header of at most {LONGEST:,} bytes").encode()
    processes.end_descendants()
    answer.send_bytes(content)


def _tell(place: str, line: Connection) -> None:
    silent = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(silent, number)
    try:
        found, path = methods_at(place)
        said: Any = [_told(method) | {"path": path} for method in found]
    except HeaderError as error:
        said = str(error)
    except UnknownName as error:
        said = str(error).removeprefix(place).lstrip(": ")
    except BaseException as error:  # SystemExit, too
        said = f"its import raised {type(error).__name__}: {error}"[:TEXT]
    line.send_bytes(json.dumps(said).encode())


def _told(method: Any) -> dict[str, Any]:
    try:
        return told(method)
    except HeaderError as error:
        return {"name": str(getattr(method, "name", "")), "broken": str(error)}


def _method(header: Mapping[str, Any]) -> Method:
    if "broken" in header:
        raise HeaderError(str(header["broken"]))
    name, family, depth, settings = (header[key] for key in ("name", "family", "depth", "settings"))
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise HeaderError(f"expected a name of small letters, digits and hyphens, got {name!r}")
    for key in TEXTS:
        if not isinstance(header[key], str):
            raise HeaderError(f"{name}: expected a text as its {key}, got {header[key]!r}")
    if family not in FAMILIES:
        raise HeaderError(f"{name}: expected a family of {', '.join(FAMILIES)}, got {family!r}")
    known = settings or {}
    for missing in ({depth} if depth is not None else set()) | header["search"].keys():
        if missing not in known:
            raise HeaderError(f"{name}: expected a setting called {missing!r}, which depth or search name")
    return Method(
        name=name,
        family=family,
        depth=depth,
        build=_elsewhere,
        network=_elsewhere if header["learned"] else None,
        settings=None if settings is None else _made(settings),
        search={key: _searched(axis) for key, axis in header["search"].items()},
        recipe=None if header["recipe"] is None else Recipe(**header["recipe"]),
        path=str(header.get("path", "")),
        **{key: header[key] for key in TEXTS},
    )


def _elsewhere(*_: Any) -> NoReturn:
    raise RuntimeError("this is what a method says of itself: its code runs in a process of its own")


def _fields(values: Any, what: str) -> dict[str, Any] | None:
    if values is None:
        return None
    if not dataclasses.is_dataclass(values) or isinstance(values, type):
        raise HeaderError(f"expected the {what} to be a dataclass, got {type(values).__name__}")
    found = {field.name: getattr(values, field.name) for field in dataclasses.fields(values)}
    for name, value in found.items():
        _written(value, f"{name} of the {what}")
    return found


def _written(value: Any, what: str) -> None:
    """HeaderError for what a result cannot hold."""
    number = isinstance(value, int | float) and math.isfinite(value)
    if not (number or value is None or isinstance(value, str)):
        raise HeaderError(f"expected a number or a text as {what}, which a result can hold, got {value!r}")


def _axis(axis: Any) -> dict[str, Any]:
    if not isinstance(axis, Log | Choice):
        raise HeaderError(f"expected Log(...) or Choice(...) in search, got {type(axis).__name__}")
    return {type(axis).__name__: dataclasses.asdict(axis)}


def _searched(axis: Mapping[str, Any]) -> Log | Choice:
    [(kind, fields)] = axis.items()
    if kind == "Choice":
        return Choice(tuple(fields["values"]))
    found = Log(**fields)
    if not 0 < found.low < found.high < math.inf:
        raise HeaderError(f"expected a search from above 0 to more, got {found}")
    return found


def _made(values: Mapping[str, Any]) -> Any:
    """Settings with these defaults, of which fields can be replaced."""
    for name, value in values.items():
        if not name.isidentifier() or keyword.iskeyword(name):
            raise HeaderError(f"expected a name as a setting, got {name!r}")
        _written(value, f"the setting {name}")
    fields = [(name, type(value), dataclasses.field(default=value)) for name, value in values.items()]
    return dataclasses.make_dataclass("Settings", fields, frozen=True)()
