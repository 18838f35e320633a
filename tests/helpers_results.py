"""Synthetic, valid and deterministic result trees, with every status that a real one can have.

`write_tree(root)` writes cards and results for `tasks` x `methods`: tuning, accuracy and runtime. Most methods are
fine; the ones in `TROUBLE` are not, in a different way each. The first task has an older version with two methods.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from recon_bench import results as store
from recon_bench.measurements import small_features
from recon_bench.results import Result
from recon_bench.results.traits import TRAITS
from recon_bench.rules import FULL, Rules

TASKS = ("ct-ellipses-30", "ct-shepp-logan-30", "mri-brain-4x")
FAMILIES = {
    "fbp": "direct",
    "tsvd": "spectral",
    "tikhonov": "spectral",
    "landweber": "iterative",
    "cgls": "iterative",
    "kaczmarz": "iterative",
    "sgd": "iterative",
    "ista": "variational",
    "tv-isotropic": "variational",
    "tv-isotropic-nonneg": "variational",
    "tv-anisotropic": "variational",
    "astra-fbp": "outside",
}
METHODS = tuple(FAMILIES)
TROUBLE = {
    "tsvd": ("not-applicable", "a full singular value decomposition of 262144 unknowns does not fit in memory"),
    "kaczmarz": ("partial", "2 of the images failed; the first: the reconstruction holds NaN"),
    "sgd": ("failed", "build raised ValueError: step must be positive, found -1.0"),
    "ista": ("timeout", "stopped after 20 minutes; half of the images were finished"),
}
NOT_CONVERGED = "not converged: the residual is 3.1e-04 after 500 iterations, the tolerance is 1e-04"
NOTED = "landweber"  # its images carry NOT_CONVERGED
MACHINE = {
    "id": "0123456789abcdef",
    "cpu": "Example CPU 3000",
    "cores": 2,
    "memory_gib": 16.0,
    "gpu": None,
    "system": "Linux-6.1-x86_64",
}
METRICS = {
    "tuning": (("psnr", "PSNR", "dB", "higher", 2),),
    "accuracy": (
        ("psnr", "PSNR", "dB", "higher", 2),
        ("ssim", "SSIM", "", "higher", 3),
        ("nrmse", "NRMSE", "", "lower", 3),
        ("rsnr", "Regressed SNR", "dB", "higher", 2),
        ("misfit", "Data misfit", "", "lower", 4),
        ("noise", "Noise level", "", "lower", 4),
        ("psnr_volume", "PSNR of the volume", "dB", "higher", 2),
    ),
    "runtime": (
        ("seconds", "Time per image", "s", "lower", 4),
        ("setup_seconds", "Setup", "s", "lower", 3),
        ("batch_seconds", "Time per image in a batch", "s", "lower", 4),
        ("fbp_seconds", "FBP in the same run", "s", "lower", 4),
        ("applications", "Pairs of A and adjoint", "", "lower", 1),
    ),
    "pictures": (("psnr", "PSNR", "dB", "higher", 2),),
}
CARD = """method = "{name}"
authors = ["A. Author <a@example.org>"]
licence = "BSD-3-Clause"
paper = "https://example.org/alongaddresswithoutanyplacetobreakit1234567890.pdf"
track = "{track}"
tuning = "by hand, 40 tries on validation images"
hardware = "a laptop, 20 minutes"
extra_data = [{{source = "natural images", licence = "CC0", used_for = "a dictionary"}}]
pretrained = []

[declared]
no_test_data = true
no_choice_by_test_score = true
all_data_declared = true
"""  # to be filled in with a name and a track
PICTURED = 3  # images, the first ones
FIRST = datetime(2026, 1, 5, 12, 0, 0)


def hex16(*words: object) -> str:
    return hashlib.sha256(json.dumps([str(word) for word in words]).encode()).hexdigest()[:16]


def write_tree(
    root: Path,
    tasks: Sequence[str] = TASKS,
    methods: Sequence[str] = METHODS,
    images: int = 8,
    seed: int = 0,
    repeats: int = 1,
    rules: Rules = FULL,
) -> Path:
    """Cards and results below `root`; `repeats` runs of each cell, of which the last counts. Returns `root`."""
    for number, task in enumerate(tasks):
        versions = (1, 2) if number == 0 else (1,)
        for version in versions:
            write_task_card(root, task, version, images, seed)
            for method in methods if version == versions[-1] else methods[:2]:
                for repeat in range(repeats):
                    for kind in METRICS:
                        write_cell(root, make_cell(task, version, method, kind, images, seed, repeat, rules), seed)
    return root


def write_cell(root: Path, result: Result, seed: int = 0) -> Path:
    """One result, with its pictures where it has some."""
    if result.kind == "pictures" and result.status == "ok":
        folder = result.folder(root)
        shown = {
            r["sample"]: picture(folder / f"{result.stem}-{r['sample']}.webp", r["sample"], 32, seed + 2 * i)
            for i, r in enumerate(result.records)
        }
        result = dataclasses.replace(result, images=shown)
    return store.write(result, root)


def write_task_card(root: Path, task: str, version: int = 1, images: int = 8, seed: int = 0) -> Path:
    family = "mri" if task.startswith("mri") else "ct"
    name = f"task-{hex16(task, version)}"
    card = {
        "schema": 1,
        "name": task,
        "version": version,
        "hash": hex16(task, version),
        "family": family,
        "title": f"Synthetic {task}",
        "description": f"Made up to test with: {task} is not a real task.",
        "sizes": {"train": 32, "validation": 8, "test": images},
        "noise": {"kind": "complex-gaussian" if family == "mri" else "gaussian", "level": 0.025},
        "data_range": 1.0,
        "ssim": {"window": 7, "k1": 0.01, "k2": 0.03},
        "display": [0.0, 1.0],
        "error_display": [-0.2, 0.2],
        "card": {"operator": {"name": "ray transform", "size": 128, "views": 30, "bins": 183}, "source": "none"},
        "images": {
            "truth": picture(root / task / f"{name}-truth.webp", "the first test image", 32, seed),
            "data": picture(root / task / f"{name}-data.webp", "its measurement", 46, seed + 1),
            **{
                f"test-{i:04d}": picture(root / task / f"{name}-test-{i:04d}.webp", f"test-{i:04d}", 32, seed + i)
                for i in range(PICTURED)
            },
        },
    }
    return store.write_card(card, root)


def picture(path: Path, caption: str, width: int, seed: int) -> dict[str, str]:
    """A tiny grey picture, 32 pixels high, and its entry in a result file or card."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.add.outer(np.arange(32) * 4, np.arange(width)) + 16 * seed
    Image.fromarray((grey % 256).astype(np.uint8)).save(path, lossless=True)
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "caption": caption}


def make_cell(
    task: str,
    version: int,
    method: str,
    kind: str,
    images: int = 8,
    seed: int = 0,
    repeat: int = 0,
    rules: Rules = FULL,
) -> Result:
    status, reason = TROUBLE.get(method, ("ok", None))
    if status == "partial" and kind != "accuracy":
        status, reason = "ok", None
    position = METHODS.index(method) if method in METHODS else len(METHODS)
    steps = [(version - 1) * 1_000_000, repeat * 10_000, position * 60, list(METRICS).index(kind)]
    rng = np.random.default_rng([seed, version, repeat, position, len(task), list(METRICS).index(kind)])
    metrics = [dict(zip(("name", "title", "unit", "better", "digits"), metric)) for metric in METRICS[kind]]
    return Result(
        kind=kind,
        task={"name": task, "version": version, "hash": hex16(task, version)},
        method=method_header(method),
        rules={**json.loads(json.dumps(dataclasses.asdict(rules))), "hash": rules.hash},
        measurement={
            "version": 1,
            "hash": hex16(kind, 1),
            "title": kind.capitalize(),
            "metrics": metrics,
            **({"traits": {**TRAITS, "board": False}} if kind == "pictures" else {}),
        },
        status=status,
        reason=reason,
        provenance={
            "started": (FIRST + timedelta(seconds=sum(steps))).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "seconds": 12.5,
            "machine": MACHINE,
            "device": "cpu",
            "threads": 2,
            "python": "3.11.9",
            "packages": {"torch": "2.13.0", "numpy": "2.4.0"},
            "commit": "0" * 40,
            "clean": True,
            "seeds": [0],
            "command": f"recon-bench run --tasks {task} --methods {method} --measurements {kind}",
        },
        images={},
        records=make_records(task, method, kind, images, position, rng),
    )


def method_header(method: str) -> dict:
    return {
        "name": method,
        "title": method.replace("-", " ").capitalize(),
        "family": FAMILIES.get(method, "outside"),
        "summary": f"A synthetic stand-in for {method}.",
        "reference": "A. Author. A title. A journal, 2001. https://doi.org/10.1000/182",
        "file": f"baselines/{method.replace('-', '_')}.py",
        "hash": hex16(method),
        "settings": {"weight": 0.01, "iterations": 500, "filter": "hann"},
        "tuned": ["weight"],
        "depth": "iterations",
    }


def record(
    sample: str,
    values: dict | None = None,
    at: dict | None = None,
    error: str | None = None,
    note: str | None = None,
    seed: int = 0,
) -> dict:
    return {"sample": sample, "values": values or {}, "at": at or {}, "seed": seed, "error": error, "note": note}


def make_records(task: str, method: str, kind: str, images: int, position: int, rng: np.random.Generator) -> list[dict]:
    status = TROUBLE.get(method, ("ok", None))[0]
    if status in ("not-applicable", "failed"):
        return []
    if kind == "tuning":
        weights = [float(f"{w:.4g}") for w in np.logspace(-3, 2 / 3, 12)]  # 0.01, the best, is among them
        return [record("", {"psnr": 25 - float(np.log10(w / 0.01) ** 2)}, {"weight": w}) for w in weights]
    if kind == "runtime":
        return _runtime_records(position, rng)
    records = [_accuracy_record(method, number, images, position, rng) for number in range(images)]
    if kind == "pictures":
        return [record(r["sample"], {"psnr": r["values"]["psnr"]}) for r in records[:PICTURED] if r["values"]]
    if task.startswith("mri") and status == "ok":
        records.append(record("volume:brain", {"psnr_volume": 24.0 + position}))
    return records[: images // 2] if status == "timeout" else records


def _accuracy_record(method: str, number: int, images: int, position: int, rng: np.random.Generator) -> dict:
    difficulty = np.sin(number)
    psnr = 22 + 0.6 * position + 2 * difficulty + rng.normal(scale=0.1)
    values = {
        "psnr": float(psnr),
        "ssim": float(np.clip(0.5 + 0.03 * position + 0.05 * difficulty, 0, 1)),
        "nrmse": float(10 ** (-psnr / 20) * 3),
        "rsnr": float(psnr - 6),
        "misfit": 0.024,
        "noise": 0.025,
    }
    if method == "kaczmarz" and number in (images - 2, images - 1):
        return record(f"test-{number:04d}", error="the reconstruction holds NaN in 12 of 16384 pixels")
    note = NOT_CONVERGED if method == NOTED else None
    return record(f"test-{number:04d}", values, note=note)


def _runtime_records(position: int, rng: np.random.Generator) -> list[dict]:
    seconds = 0.002 * 1.9**position
    jitter = rng.uniform(0.95, 1.05, size=10)
    repeats = [record(f"reconstruct-{i}", {"seconds": float(seconds * jitter[i])}) for i in range(5)]
    fbp = [record(f"fbp-{i}", {"fbp_seconds": float(0.002 * jitter[5 + i])}) for i in range(5)]
    return [
        record("setup", {"setup_seconds": 0.1 + 0.01 * position}),
        *repeats,
        record("batch", {"batch_seconds": float(seconds * 0.6)}),
        *fbp,
        record("operator", {"applications": float(2 + 40 * position)}),
    ]


def of_small_features(name: str, shift: float) -> Result:
    """A result of small features whose discs are recovered to 0.65 + ``shift``; that of CGLS is partial."""
    made, kind = make_cell("ct-ellipses-30", 2, name, "accuracy"), small_features.MEASUREMENT
    header = json.loads(json.dumps({"metrics": [dataclasses.asdict(metric) for metric in kind.metrics]}))
    header |= {"version": 1, "hash": "0" * 16, "title": kind.title, "traits": {**TRAITS, "hidden": list(kind.hidden)}}
    records = [record(f"test-{i:04d}-low", {"recovered_low_11": 0.5 + shift + 0.1 * i}) for i in range(4)]
    records += [record(f"test-{i:04d}", {"invented": 2.0 + i}) for i in range(4)]
    if name == "cgls":
        records.append(record("test-0004", error="RuntimeError: lost & gone"))
        made = dataclasses.replace(made, status="partial", reason="1 of 9 failed: RuntimeError: lost & gone")
    return dataclasses.replace(made, kind=kind.name, measurement=header, records=records, images={})
