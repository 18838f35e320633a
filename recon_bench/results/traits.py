"""What a measurement says of itself in the header of its results, and what holds for files from before it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Traits = Mapping[str, Any]
RANKING_KIND = "accuracy"  # the kind of measurement that decides the ranks of a board
TRAITS: Traits = {"order": 9, "alone": False, "ledger": False, "board": True, "hidden": []}
BEFORE: Mapping[str, Traits] = {  # of files from before headers said so
    "tuning": {"order": 0, "ledger": True},
    "accuracy": {"order": 1, "hidden": ["nrmse", "rsnr", "nmse", "psnr_volume", "nmse_volume", "ssim_volume", "noise"]},
    "runtime": {"order": 2, "alone": True, "hidden": ["setup_seconds", "batch_seconds", "fbp_seconds"]},
    "pictures": {"board": False},
    "training": {"hidden": ["training_samples", "training_hours"]},
    "seeds": {"hidden": ["psnr_seeds"]},
}
