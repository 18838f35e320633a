"""The picture of the leaderboard in README: `python -m tests.picture` takes it anew from the site in build/site."""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests import chromium

TASK = "ct-ellipses-30"
SIZE = {"width": 1100, "height": 900}  # pixels
COLUMNS = ("psnr", "ssim", "misfit_ratio", "seconds", "times_fbp", "foreign_psnr")  # long notes make tall rows
PATIENCE = 300_000  # ms, for machines that do other work


def take(site: Path, file: Path) -> None:
    """Write the leaderboard of TASK, from its heading on, as a PNG."""
    executable = chromium.find()
    if executable is None:
        raise SystemExit(chromium.ADVICE)
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=executable, args=list(chromium.ARGUMENTS))
        page = browser.new_page(viewport=SIZE)
        page.goto(
            (site / "board" / f"{TASK}.html").resolve().as_uri() + f"?columns={','.join(COLUMNS)}#ranking",
            timeout=PATIENCE,
        )
        page.screenshot(path=file, timeout=PATIENCE)
        browser.close()


if __name__ == "__main__":
    take(*map(Path, sys.argv[1:] or ("build/site", "docs/leaderboard.png")))
