"""Where the tests find a Chromium: `python -m tests.chromium` exits with 0 if there is one."""

import os
import shutil
import sys
from pathlib import Path

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
ADVICE = (
    "no Chromium: run `playwright install chromium`, install the system's chromium package, "
    "or give the path of an executable in RECON_BENCH_CHROMIUM"
)


def find() -> str | None:
    """Path of an executable: RECON_BENCH_CHROMIUM, else Playwright's own, else one on PATH."""
    if named := os.environ.get("RECON_BENCH_CHROMIUM"):
        return named
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if Path(own).is_file():
        return own
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, found), None)


if __name__ == "__main__":
    sys.exit(0 if find() else ADVICE)
