"""Fixtures of more than one file."""

import pytest
import torch


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with weights of its own; one thread, with which trainings repeat exactly."""
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)
