"""The commit of a result is that of this checkout, or none."""

import subprocess

import pytest

from recon_bench.run import provenance
from recon_bench.storage import REPOSITORY


def git(folder, *words):
    author = ("-c", "user.name=A. Author", "-c", "user.email=author@example.org")
    command = ["git", *author, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def repository(folder):
    """A repository with a committed package; its commit."""
    (folder / "recon_bench").mkdir(parents=True)
    (folder / "baselines").mkdir()
    (folder / "recon_bench" / "core.py").write_text("")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", folder.name)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def commit(monkeypatch):
    """A function: what is recorded if the code is in this folder."""

    def commit(folder):
        monkeypatch.setattr(provenance, "REPOSITORY", folder.resolve())
        return provenance.commit.__wrapped__()

    return commit


def test_the_commit_of_a_checkout_and_whether_it_is_clean(tmp_path, commit):
    head = repository(tmp_path / "checkout")
    assert commit(tmp_path / "checkout") == (head, True)
    (tmp_path / "checkout" / "recon_bench" / "core.py").write_text("changed = 1")
    assert commit(tmp_path / "checkout") == (head, False)


def test_a_new_file_is_a_change_even_where_git_is_told_not_to_show_it(tmp_path, commit):
    head = repository(tmp_path / "checkout")
    git(tmp_path / "checkout", "config", "status.showUntrackedFiles", "no")
    (tmp_path / "checkout" / "baselines" / "mine.py").write_text("")
    assert commit(tmp_path / "checkout") == (head, False)


def test_a_download_inside_another_repository_has_no_commit(tmp_path, commit):
    repository(tmp_path / "other")
    inside = tmp_path / "other" / "download"
    (inside / "recon_bench").mkdir(parents=True)
    assert commit(inside) == (None, None) == commit(tmp_path)


def test_the_environment_names_no_other_repository(tmp_path, commit, monkeypatch):
    head, _ = repository(tmp_path / "checkout"), repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "checkout"))
    assert commit(tmp_path / "checkout") == (head, True)
    assert commit(tmp_path) == (None, None)


def test_the_code_of_this_project_is_looked_for_in_its_own_checkout():
    assert provenance.REPOSITORY == REPOSITORY
