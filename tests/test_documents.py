"""What the documents say is so: their code runs, their commands are understood, their links lead somewhere."""

import re
import shlex
import shutil
import subprocess

import numpy as np
import pytest
import torch

from recon_bench import templates, weights
from recon_bench.cli import train
from recon_bench.cli.command import Command
from recon_bench.cli.main import main, parser
from recon_bench.operators import FanBeam, FanTransform, ParallelBeam, RayTransform, evenly
from recon_bench.reconstruction import scan
from recon_bench.results import load
from recon_bench.storage import REPOSITORY
from tests.helpers_results import write_tree

NAMES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/submitting.md",
    "docs/training.md",
    "docs/adapters.md",
    "docs/own-data.md",
    "docs/cluster.md",
    "docs/asv.md",
)


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def blocks(name: str, language: str = "") -> list[str]:
    """The code blocks of a document that are in a language, or in none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text(name), flags=re.MULTILINE | re.DOTALL)
    return [code for said, code in found if said == language]


def test_the_example_of_a_method_is_what_new_methods_start_from_and_runs(tmp_path):
    method, _ = blocks("CONTRIBUTING.md", "python")
    assert method == templates.text("iterative")
    file = tmp_path / "my_method.py"
    file.write_text(method)
    words = ["run", "--tasks", "ct-shepp-logan-30", "--methods", str(file), "--measurements", "accuracy"]
    assert main([*words, "--rules", "quick", "--results", str(tmp_path / "mine")]) == 0
    [result], problems = load(tmp_path / "mine")
    assert result.status == "ok" and len(result.records) == 2 and not problems
    assert all(record["values"]["psnr"] > 15 for record in result.records)


def test_the_example_of_a_command_runs(tmp_path, capsys):
    _, command = blocks("CONTRIBUTING.md", "python")
    found = {}
    exec(command, found)
    assert isinstance(found["COMMAND"], Command)
    root = write_tree(tmp_path / "results", tasks=("ct-ellipses-30",), methods=("fbp",), images=2)
    words = parser().parse_args(["check", "--results", str(root)])
    assert found["COMMAND"].run(words) == 0
    assert int(capsys.readouterr().out) == len(load(root)[0]) > 0


@pytest.mark.parametrize(
    ("name", "example"),
    [("docs/adapters.md", "methods/deepinv_tv.py"), ("docs/own-data.md", "tasks/scans.py")],
)
def test_the_example_of_a_document_is_the_file_that_the_tests_run(name, example):
    assert text(f"examples/{example}") in blocks(name, "python")


@pytest.mark.parametrize("number", range(3))
def test_the_examples_of_geometries_are_understood(number, tmp_path):
    told = blocks("docs/own-data.md", "toml")[number]
    (tmp_path / "g.toml").write_text(told)
    np.savetxt(tmp_path / "angles.txt", np.arange(0, 360, 3))
    data = [np.zeros((180, 300), "f4"), np.zeros((120, 60), "f4"), np.zeros((2, 32, 32), "c8")][number]
    np.save(tmp_path / "y.npy", data)
    found = scan.read(tmp_path / "y.npy", tmp_path / "g.toml", torch.device("cpu"))
    assert len(found.data) == (2 if number == 2 else 1) and found.coils == (number == 2)


@pytest.mark.parametrize("kind", ["parallel", "fan"])
def test_the_axis_of_rotation_is_found_as_the_document_says(kind, tmp_path, monkeypatch, capsys):
    """Data of a finer image with 2 % noise, of a detector whose middle is 1.3 bins beside the axis."""
    size, bins, spacing, angles = 32, 48, 0.5, evenly(60, stop=2 * np.pi)
    lengths = {"spacing": spacing, "shift": 1.3 * spacing, "pixel": 0.1}
    fan = {"source": 60.0, "detector": 10.0} if kind == "fan" else {}
    make, transform = (FanBeam, FanTransform) if fan else (ParallelBeam, RayTransform)
    y, x = np.mgrid[: 5 * size, : 5 * size] / 5 - size / 2
    image = 1.0 * ((x / 11) ** 2 + (y / 13) ** 2 < 1) + ((x - 4) ** 2 + (y + 6) ** 2 < 9)
    clean = transform(make(5 * size, angles, bins, **fan, **lengths))(torch.from_numpy(image).float()).numpy()
    noise = np.random.default_rng(0).standard_normal(clean.shape).astype("f4")
    np.save(tmp_path / "y.npy", clean + 0.02 * np.abs(clean).mean() * noise)
    told = {"pixels": size, "pixel": 0.5, "spacing": spacing, **fan, "angles": [float(a) for a in np.degrees(angles)]}
    (tmp_path / "g.toml").write_text(f'kind = "{kind}-beam"\n' + "".join(f"{k} = {v}\n" for k, v in told.items()))
    monkeypatch.chdir(tmp_path)
    [code] = [block for block in blocks("docs/own-data.md", "python") if "estimate" in block]
    exec(code, {})
    shift = float(capsys.readouterr().out.split()[2])
    assert abs(shift / spacing - 1.3) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_understood(name):
    lines = [line for block in blocks(name) for line in block.replace("\\\n", "").replace(" N ", " 32 ").splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("recon-bench ")]
    assert commands
    for words in commands:
        parser().parse_args(words[1:])


def test_the_command_on_every_training_card_is_understood():
    for name in weights.registry():
        words = shlex.split(weights.card(name)["command"])
        what = train._what(parser().parse_args(words[1:]))
        assert name.startswith(f"{what['task'].name}/{what['method'].name}"), name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("README.md", "a seal, which is no signature"),
        ("README.md", "On other people learned primal-dual of `ct-head-50` keeps"),
        ("README.md", "is not sandboxed: read a stranger's file before you run it"),
        ("CONTRIBUTING.md", "No rule, margin or tolerance changes after a result is seen with it"),
        ("CONTRIBUTING.md", "these figures are its process's word"),
        ("recon_bench/tables/published.json", "reached 28.31 on their published images"),
        ("site/templates/trust.html", "These figures are that process’s own word"),
    ],
)
def test_what_a_reader_has_to_know_is_said(name, said):
    assert said in " ".join(text(name).split())


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name):
    folder = (REPOSITORY / name).parent
    links = re.findall(r"\]\(([^)#]+)\)", text(name))
    assert links and all((folder / link).is_file() for link in links if "://" not in link)


def test_a_method_takes_little_reading():
    assert len(text("README.md").splitlines()) <= 70
    way = text("README.md") + text("CONTRIBUTING.md").split("\n## A learned method")[0]
    assert len(way.splitlines()) <= 250


def test_make_works_below_a_path_with_spaces(tmp_path):
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(REPOSITORY / "Makefile", folder)
    dry = ["make", "--no-print-directory", "-n", "-o", ".venv/dev", "-o", ".venv/run", "site", "run"]
    lines = subprocess.run(dry, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()
    named = [line for line in lines if str(folder) in line]
    assert len(named) == 2 and all(any(str(folder) in word for word in shlex.split(line)) for line in named)
