"""Which code a result belongs to: a digest of what a method's code means, not of its bytes.

From METHODS of a method's file (from all that it defines and imports, where it defines no METHODS) every definition is
followed that it names, through whatever form of import, into the modules of ``baselines``, into the numerical ones of
this package (NUMERICAL) and into files beside a submitted one or of its package. A definition is digested as its syntax
tree, in which each name of another definition is replaced by the digest of that. So comments, docstrings, layout,
annotations of functions, the order and form of imports, the order of definitions and the module that a helper is in do
not count, and code that is never named does not either; a constant in a solver does.

Other packages count by the names that are used of them; their versions stand in the provenance of a result. The rest
of this package counts by name as well: what it computes is held by tests of contents.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from recon_bench.storage import REPOSITORY, digest

NUMERICAL = ("solvers", "fixed_point", "implicit", "deq", "regulariser", "learned", "operators", "adapters")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES = (*_FUNCTIONS, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SILENT = ("ctx", "kind", "returns", "type_comment", "type_params")  # fields of a tree that change nothing


def of_file(path: Path) -> str:
    """The identity, 16 hex digits, of the methods that the Python file at ``path`` exports; SyntaxError, OSError."""
    path = path.resolve()
    read, found = _KNOWN.get(path, ({}, ""))
    if not found or not all(file.is_file() and file.read_bytes() == content for file, content in read.items()):
        reader = _Reader(_home(path))
        found = reader.identity(path)
        _KNOWN[path] = reader.read, found
    return found


_KNOWN: dict[Path, tuple[dict[Path, bytes], str]] = {}  # by file, what was read of which files and what came out


def _home(path: Path) -> Path:
    """The folder whose files are a method's own: that of its file, or the outermost package that it is in."""
    folder = path.parent
    while (folder / "__init__.py").is_file() and (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return folder


@dataclass
class _Module:
    """What a file binds: statements by the names they define, imports by local name, and statements that only act."""

    path: Path
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[Path | None, tuple[str, ...]]] = field(default_factory=dict)  # relative to, dotted name
    stars: list[tuple[Path | None, tuple[str, ...]]] = field(default_factory=list)
    acts: list[ast.stmt] = field(default_factory=list)


@cache
def _parsed(path: Path, source: bytes) -> _Module:
    found = _Module(path)
    tree = ast.parse(source, str(path))
    for node in ast.walk(tree):
        _note_imports(node, found)
    for statement in tree.body:
        names = _defined(statement)
        for name in names:
            found.definitions.setdefault(name, []).append(statement)
        imports = any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(statement))
        if not names and not imports and not _is_text(statement):
            found.acts.append(statement)
    return found


def _note_imports(node: ast.AST, found: _Module) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            parts = tuple(alias.name.split("."))
            found.imports[alias.asname or parts[0]] = (None, parts if alias.asname else parts[:1])
    if isinstance(node, ast.ImportFrom):
        base = found.path.parents[node.level - 1] if node.level else None
        parts = tuple(node.module.split(".")) if node.module else ()
        for alias in node.names:
            if alias.name == "*":
                found.stars.append((base, parts))
            else:
                found.imports[alias.asname or alias.name] = (base, (*parts, alias.name))


def _defined(statement: ast.stmt) -> list[str]:
    """Names that a statement of a module binds, but for imports."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    return sorted(_stored(statement))


def _stored(node: ast.AST) -> Iterator[str]:
    """Names bound below ``node`` in its own scope."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        yield node.id
    named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler
    if isinstance(node, named) and node.name:
        yield node.name
    if not isinstance(node, (*_SCOPES, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            yield from _stored(child)


def _locals(scope: ast.AST) -> set[str]:
    """Names that are local to a function or a comprehension."""
    found = set()
    if isinstance(scope, _FUNCTIONS):
        a = scope.args
        arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]
        found |= {argument.arg for argument in arguments}
    for child in ast.iter_child_nodes(scope):
        found |= set(_stored(child))
    return found


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


class _Reader:
    """Digests definitions; files in ``folder`` count as the method's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[tuple[Path, str], str | None] = {}  # None while it is being read
        self.read: dict[Path, bytes] = {}

    def _module(self, path: Path) -> _Module:
        if path not in self.read:
            self.read[path] = path.read_bytes()
        return _parsed(path, self.read[path])

    def identity(self, path: Path) -> str:
        module = self._module(path)
        methods = self._definition(module, "METHODS") if "METHODS" in module.definitions else self._all(module)
        acts: dict[Path, Any] = {}
        while missing := {file for file, _ in self.known} - acts.keys():  # what acts may name more
            for module in map(self._module, missing):
                acts[module.path] = [self._tree(statement, module, set()) for statement in module.acts]
        return digest([methods, *sorted(map(digest, filter(None, acts.values())))])

    def _definition(self, module: _Module, name: str) -> str:
        """Digest of what ``name`` is defined as; the bare name where that is asked for while it is read."""
        key = module.path, name
        if key not in self.known:
            self.known[key] = None
            self.known[key] = digest([self._tree(s, module, set()) for s in module.definitions.get(name, ())])
        return self.known[key] or name

    def _whole(self, module: _Module) -> str:
        return digest([self._definition(module, name) for name in sorted(module.definitions)])

    def _all(self, module: _Module) -> str:
        """As of a module whose methods some function makes, or that has them from elsewhere."""
        imported = [self._reference(module, [name]) for name in sorted(module.imports)]
        return digest([self._whole(module), imported])

    def _tree(self, node: Any, module: _Module, local: set[str]) -> Any:
        """``node`` as JSON: the name of its class and its fields, but for what does not change what it does."""
        if isinstance(node, list):
            return [self._tree(item, module, local) for item in node if not _is_text(item)]
        if not isinstance(node, ast.AST):
            return repr(node)
        names = _chain(node)
        if names and names[0] not in local:
            return ["name", *self._reference(module, names)]
        if isinstance(node, _SCOPES):
            local = local | _locals(node)
        skipped = (*_SILENT, "annotation") if isinstance(node, ast.arg) else _SILENT
        used = {key: value for key, value in ast.iter_fields(node) if value not in (None, []) and key not in skipped}
        return [type(node).__name__, {key: self._tree(value, module, local) for key, value in used.items()}]

    def _reference(self, module: _Module, names: Sequence[str]) -> list[str]:
        """What ``names`` (``solvers.dot`` as two) stand for in ``module``."""
        first, rest = names[0], list(names[1:])
        if first in module.definitions:
            return [self._definition(module, first), *rest]
        if first in module.imports:
            base, parts = module.imports[first]
            return self._absolute(base, [*parts, *rest])
        for base, parts in module.stars:
            file, inside = _find(base, [*parts, first], self.folder)
            if file and (inside[0] in self._module(file).definitions or inside[0] in self._module(file).imports):
                return self._absolute(base, [*parts, *names])
        return list(names)

    def _absolute(self, base: Path | None, parts: list[str]) -> list[str]:
        file, inside = _find(base, parts, self.folder)
        if file is None:
            return inside
        module = self._module(file)
        if inside and (inside[0] in module.definitions or inside[0] in module.imports or module.stars):
            return self._reference(module, inside)
        return [self._whole(module), *inside]


def _chain(node: ast.AST) -> list[str]:
    """``a.b.c`` that is read, as ["a", "b", "c"]; empty for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        names.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return [node.id, *names]
    return []


def _find(base: Path | None, parts: list[str], folder: Path) -> tuple[Path | None, list[str]]:
    """The file of ours that a dotted name leads into and the names inside it; (None, names) for another package's.

    ``base`` is the folder that a relative import starts from, else None.
    """
    for length in range(len(parts), 0, -1):
        head, inside = parts[:length], parts[length:]
        for root in [base] if base else [REPOSITORY, folder, folder.parent]:
            place = root.joinpath(*head)
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file():
                    return (file, inside) if _counts(file, folder) else (None, inside or head[-1:])
    return None, parts


def _counts(file: Path, folder: Path) -> bool:
    """Whether a file is a method's, a neighbour's or a numerical one of this package."""
    package = REPOSITORY / "recon_bench"
    if file.is_relative_to(package):
        return file.relative_to(package).parts[0].removesuffix(".py") in NUMERICAL
    return file.is_relative_to(REPOSITORY / "baselines") or file.is_relative_to(folder)
