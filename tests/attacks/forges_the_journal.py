"""Writes records of 99 dB into the journal of its cell, which lies beside the log that it prints to."""

import json
from pathlib import Path

from tests.attacks.making import honest, method


def reconstruct(y, A):
    folder = Path("/proc/self/fd/1").resolve().parent
    record = {"values": {"psnr": 99.0}, "at": {}, "seed": 0, "error": None, "note": None}
    with (folder / "journal.jsonl").open("a") as file:
        for index in range(3):
            file.write(json.dumps({"record": {"sample": f"test-{index:04d}", **record}}) + "\n")
    return honest(y, A)


METHODS = (method("forges-the-journal", reconstruct),)
ROW = ("failed", "something else than the measurement wrote into its journal", "")
