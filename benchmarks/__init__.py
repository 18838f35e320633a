"""Small cases across commits: is this commit slower, larger or worse than the last? Run by asv, see docs/asv.md.

asv only knows lower-is-better, so quality is an error (NMSE); a value that is not finite raises, because asv takes NaN
for a benchmark that does not apply. It imports every file of this folder, with the code of each commit: what a commit
does not have yet is skipped. One thread: on a shared machine that repeats best.
"""

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and numpy are imported

import recon_bench

ROOT = Path(recon_bench.__file__).resolve().parent.parent
if "ASV_ENV_DIR" in os.environ:
    if not ROOT.is_relative_to(os.environ["ASV_ENV_DIR"]):
        raise ImportError(f"expected the checkout that asv made in {os.environ['ASV_ENV_DIR']}, imported {ROOT}")
    os.environ["RECON_BENCH_CACHE"] = str(ROOT / ".cache")  # operators as this commit builds them
