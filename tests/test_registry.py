"""Names, files and settings."""

from pathlib import Path

import pytest

from recon_bench import registry

ONE = str(Path(__file__).parent / "methods" / "one.py")


def test_the_nearest_name_is_suggested():
    for find, wrong, right in (
        (registry.task, "ct-ellipses", "ct-ellipses-30"),
        (registry.method, "tv-isotropc", "tv-isotropic"),
        (registry.measurement, "acuracy", "accuracy"),
    ):
        with pytest.raises(registry.UnknownName, match=right):
            find(wrong)


def test_a_method_comes_from_any_file(tmp_path):
    assert registry.method(ONE).name == "one"
    assert registry.method(f"{ONE}:one").path == ONE
    with pytest.raises(registry.UnknownName, match="no file"):
        registry.method(str(tmp_path / "none.py"))
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    with pytest.raises(registry.UnknownName, match="exports no METHODS"):
        registry.method(str(empty))


def test_an_error_in_a_file_is_not_swallowed(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import a_package_that_is_not_there\n")
    with pytest.raises(registry.BrokenFile, match=r"broken.py: its import raised ModuleNotFoundError: .*_not_there"):
        registry.method(str(broken))
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        registry.imported(str(broken))


@pytest.mark.parametrize("ask", [registry.task, registry.measurement])
@pytest.mark.parametrize("content", [b"TASKS = (", b"\xff\x00", b"import sys; sys.exit(3)"])
def test_a_file_that_cannot_be_imported_is_named(tmp_path, ask, content):
    file = tmp_path / "own.py"
    file.write_bytes(content)
    with pytest.raises(registry.BrokenFile, match=r"own\.py: cannot be imported: (SyntaxError|SystemExit)"):
        ask(str(file))


def test_a_name_that_is_taken_is_refused(tmp_path):
    impostor = tmp_path / "impostor.py"
    impostor.write_text(Path(ONE).read_text().replace('name="one"', 'name="fbp"'))
    with pytest.raises(registry.UnknownName, match=r"the name 'fbp' is taken by .*fbp\.py"):
        registry.method(str(impostor))


def test_a_learned_method_waits_for_its_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path))
    assert "unet" in registry.methods() and "unet" not in registry.ready() and "fbp" in registry.ready()
    (tmp_path / "registry.json").write_text('{"ct-ellipses-30/unet": {"method": "unet"}}')
    assert "unet" in registry.ready()
