"""Writes what became of cells: a result with its pictures, or a row that says why there is none."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from recon_bench import results
from recon_bench.results import DiskFull, Result, ResultError
from recon_bench.run import outcome
from recon_bench.run.outcome import Part, Running
from recon_bench.storage import replace_file


@dataclass
class Rows:
    """The results in ``root``, of which those ``known`` grow; ``bad`` counts the cells that did not end well."""

    root: Path
    known: list[Result]
    command: str
    bad: int = 0

    def finish(self, item: Running, last: Part, exit_status: int | None, late: bool) -> None:
        """Write the result of a cell, as of :func:`outcome.result`. Raises DiskFull; its journals are kept then."""
        result, pictures = outcome.result(item, last, exit_status, late, self.command, self.root)
        kept = {picture: result.folder(self.root) / f"{result.stem}-{name}.webp" for name, picture in pictures.items()}
        try:
            for picture, target in kept.items():
                _keep(picture, target)
            path = results.write(result, self.root)
        except BaseException as error:
            for target in kept.values():  # without a result they would belong to nothing
                target.unlink(missing_ok=True)
            if isinstance(error, DiskFull) or not isinstance(error, ResultError):
                raise
            item.forget()
            self.failed(item, str(error))
            return
        self.known.append(result)
        if result.status in ("ok", "not-applicable"):
            shutil.rmtree(item.folder, ignore_errors=True)
        else:
            item.forget()
            self._tell(item, f"{result.status}: {result.reason} (log: {item.log}; row: {path})")

    def failed(self, item: Running, reason: str) -> None:
        """Write the row of a cell whose result there cannot be; where not even that can be written, say so."""
        result = outcome.failed(item, reason, self.command, self.root)
        try:
            where = f"row: {results.write(result, self.root)}"
            self.known.append(result)
        except DiskFull:
            raise
        except ResultError as error:
            where = f"there is no row of it: {error}"
        self._tell(item, f"{result.status}: {result.reason} ({where})")

    def _tell(self, item: Running, what: str) -> None:
        self.bad += 1
        tqdm.write(f"{item.cell}: {what}")


def _keep(picture: Path, target: Path) -> None:
    """Copy a picture to beside its result, which may be on another disk."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, picture.read_bytes())
    except OSError as error:
        raise results.refused(target, error) from error
