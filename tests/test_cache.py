"""The cache: what was stored comes back mapped, races and damage heal, a full disk costs time but no result."""

import errno
import fcntl
import multiprocessing
import os
import stat
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from recon_bench import cache, storage
from recon_bench.operators import ParallelBeam, RayTransform, evenly

KEY = {"what": "a test", "angles": [0.0, 0.5], "version": 1}
SCAN = ParallelBeam(200, evenly(140), 283)  # large enough to be kept


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RECON_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tensors() -> dict[str, torch.Tensor]:
    return {"indices": torch.arange(1000, dtype=torch.int32), "data": torch.linspace(0, 1, 1000)}


def never() -> dict[str, torch.Tensor]:
    raise AssertionError("built although it is stored")


def assert_same(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def mapped_files() -> str:
    return Path("/proc/self/maps").read_text()


def test_what_was_built_once_is_read_from_then_on(folder):
    assert_same(cache.load_or_build(KEY, tensors))
    assert_same(cache.load_or_build(dict(reversed(KEY.items())), never))


def test_another_key_is_another_entry(folder):
    cache.load_or_build(KEY, tensors)
    other = cache.load_or_build(KEY | {"version": 2}, lambda: {"data": torch.zeros(3)})
    assert other["data"].tolist() == [0, 0, 0]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")
def test_what_is_read_is_mapped_not_copied(folder):
    first = cache.load_or_build(KEY, tensors)
    assert str(folder) in mapped_files()
    del first
    found = cache.load_or_build(KEY, never)
    assert mapped_files().count(str(folder)) == len(found)


def test_writing_to_what_was_read_leaves_the_entry_alone():
    cache.load_or_build(KEY, tensors)
    cache.load_or_build(KEY, never)["data"].zero_()
    assert_same(cache.load_or_build(KEY, never))


def _build_at_once(barrier, queue) -> None:
    def build() -> dict[str, torch.Tensor]:
        barrier.wait(timeout=60)  # no process stores before all are building
        return tensors()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cache.load_or_build(KEY, build)
    queue.put({name: tensor.tolist() for name, tensor in found.items()})


def test_processes_that_build_at_once_all_succeed(folder):
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_build_at_once, args=(barrier, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    for answer in answers:
        assert_same(
            {"indices": torch.tensor(answer["indices"], dtype=torch.int32), "data": torch.tensor(answer["data"])}
        )
    assert len(list(folder.iterdir())) == 1
    assert_same(cache.load_or_build(KEY, never))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def scribble(path: Path) -> None:
    path.write_bytes(b"not an array " * 50)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, scribble, empty])
def test_a_damaged_entry_is_built_again(folder, damage):
    cache.load_or_build(KEY, tensors)
    damage(next(folder.glob("*/data.npy")))
    assert_same(cache.load_or_build(KEY, tensors))
    assert_same(cache.load_or_build(KEY, never))


def test_a_full_disk_costs_a_warning_and_leaves_no_half_entry(folder, monkeypatch):
    save, saved = np.save, []

    def full(path, array):
        if saved:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        saved.append(path)
        save(path, array)

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(UserWarning, match="No space left on device.*going on without the cache"):
        assert_same(cache.load_or_build(KEY, tensors))
    assert list(folder.iterdir()) == []
    monkeypatch.undo()


def test_a_folder_that_cannot_be_made_costs_a_warning(folder):
    folder.write_text("a file in its place")
    with pytest.warns(UserWarning, match="going on without the cache"):
        assert_same(cache.load_or_build(KEY, tensors))


def test_size_and_clear(folder):
    assert cache.size() == cache.clear() == 0
    cache.load_or_build(KEY, tensors)
    assert cache.size() >= 8 * 1000
    assert cache.size() == cache.clear()
    assert cache.size() == 0
    assert list(folder.iterdir()) == []


def test_what_was_read_outlives_clear():
    cache.load_or_build(KEY, tensors)
    found = cache.load_or_build(KEY, never)
    cache.clear()
    assert_same(found)


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    assert cache.folder() == tmp_path / "cache"
    monkeypatch.delenv("RECON_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "recon_bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "recon_bench"


@pytest.mark.parametrize("lost", ["data.npy", "indices.npy"])
def test_an_entry_of_which_a_file_was_lost_is_built_again(folder, lost):
    cache.load_or_build(KEY, tensors)
    next(folder.glob(f"*/{lost}")).unlink()
    assert_same(cache.load_or_build(KEY, tensors))
    assert_same(cache.load_or_build(KEY, never))


def test_an_entry_without_a_list_of_its_files_is_as_good_as_before(folder):
    """Those of older versions have none: what the caller asks for decides."""
    cache.load_or_build(KEY, tensors)
    next(folder.glob("*/files.json")).unlink()
    assert_same(cache.load_or_build(KEY, never))
    assert_same(cache.load_or_build(KEY, never, names=("data", "indices")))
    next(folder.glob("*/data.npy")).unlink()
    assert_same(cache.load_or_build(KEY, tensors, names=("data", "indices")))


def test_a_ray_transform_is_built_again_where_any_file_of_its_entry_is_lost(folder):
    image = torch.rand(200, 200, generator=torch.Generator().manual_seed(0))
    expected = RayTransform(SCAN)(image)
    names = sorted(path.name for path in folder.glob("*/*.npy"))
    assert len(names) == 6
    for name in names:
        next(folder.glob("*/files.json")).unlink()
        next(folder.glob(f"*/{name}")).unlink()
        assert torch.equal(RayTransform(SCAN)(image), expected)


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """A user without a home, as in some containers; the folder of temporary files."""

    def unknown():
        raise RuntimeError("Could not determine home directory.")

    for name in ("RECON_BENCH_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def test_without_a_home_entries_go_to_a_temporary_folder_of_this_user(homeless):
    assert_same(cache.load_or_build(KEY, tensors))
    assert cache.folder() == homeless / f"recon_bench-{os.getuid()}"
    assert stat.S_IMODE(cache.folder().stat().st_mode) == 0o700
    assert_same(cache.load_or_build(KEY, never))
    assert cache.clear() > 0


def test_a_home_that_is_empty_text_is_none(homeless, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/"))
    monkeypatch.setenv("HOME", "")
    assert cache.folder() == homeless / f"recon_bench-{os.getuid()}"


@pytest.mark.parametrize("foreign", ["open to others", "a link"])
def test_a_temporary_folder_that_others_could_fill_is_not_trusted(homeless, tmp_path, foreign):
    cache.load_or_build(KEY, tensors)
    if foreign == "a link":
        cache.folder().rename(tmp_path / "elsewhere")
        cache.folder().symlink_to(tmp_path / "elsewhere")
    else:
        cache.folder().chmod(0o777)
    with pytest.warns(UserWarning, match=r"not this user's alone; going on without .* set RECON_BENCH_CACHE"):
        assert_same(cache.load_or_build(KEY, tensors))


@pytest.mark.parametrize("path", ["x" * 300, "/".join(["x" * 200] * 30)], ids=["long name", "long path"])
def test_a_path_that_is_too_long_costs_time_but_no_result(homeless, monkeypatch, path):
    for variable in ("TMPDIR", "RECON_BENCH_CACHE"):
        monkeypatch.setenv(variable, f"{homeless}/{path}")
        with pytest.warns(UserWarning, match="File name too long; going on|File name too long: .* going on"):
            assert_same(cache.load_or_build(KEY, tensors))
        assert cache.size() == cache.clear() == 0


def test_a_file_system_that_cannot_map_files_is_read_from(folder, monkeypatch):
    load, kept = np.load, cache.load_or_build(KEY, tensors)

    def unmapped(path, mmap_mode=None):
        if mmap_mode:
            raise OSError(errno.ENODEV, "No such device")
        return load(path)

    monkeypatch.setattr(np, "load", unmapped)
    assert_same(cache.load_or_build(KEY, never))
    assert_same(kept)


def test_an_error_of_what_is_built_is_not_taken_for_one_of_the_cache(folder):
    def fail():
        raise FileNotFoundError("a scan")

    with pytest.raises(FileNotFoundError, match="a scan"):
        cache.load_or_build(KEY, fail)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_a_file_system_without_locks_is_told_of_and_worked_on(tmp_path, monkeypatch, number):
    def refuse(handle, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="without locks .* one process at a time"), storage.locked(tmp_path):
        (tmp_path / "done").touch()
    assert (tmp_path / "done").exists()


def test_a_lock_that_another_holds_is_still_a_lock(tmp_path):
    with storage.locked(tmp_path), pytest.raises(BlockingIOError), storage.locked(tmp_path, wait=False):
        raise AssertionError("two at once")


def test_a_ray_transform_from_the_cache_is_the_one_that_was_built(folder):
    image = torch.rand(200, 200, generator=torch.Generator().manual_seed(0))
    built = RayTransform(SCAN)(image)
    assert cache.size() > 0
    torch.testing.assert_close(RayTransform(SCAN)(image), built, rtol=0, atol=0)
    cache.clear()
    torch.testing.assert_close(RayTransform(SCAN)(image), built, rtol=0, atol=0)


def test_small_ray_transforms_are_not_kept(folder):
    RayTransform(ParallelBeam(32, evenly(10), 47))
    assert not folder.exists()
