import dataclasses
import json
import os
import pkgutil
import subprocess
import sys
import tomllib

import pytest
import torch

from recon_bench import cli
from recon_bench.cli.command import commands
from recon_bench.cli.main import main, parser
from recon_bench.results import write
from recon_bench.storage import REPOSITORY
from recon_bench.tables.published import COLUMNS
from tests.helpers_results import METHODS, NOT_CONVERGED, NOTED, TROUBLE, make_cell, record, write_tree

TASK = "ct-ellipses-30"
NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree") / "results", tasks=(TASK, "ct-shepp-logan-30"), images=4)


@pytest.fixture
def ask(root, capsys):
    """Run a command on the tree: its exit status, output and errors."""

    def run(*words: str, results: bool = True):
        status = main([*words, *(["--results", str(root)] if results else [])])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_board_as_table_and_as_json_have_the_same_rows(ask):
    status, table, errors = ask("board", TASK, "--all")
    assert (status, errors) == (0, "")
    data = json.loads(ask("board", TASK, "--json")[1])
    assert [row["method"] for row in data["rows"]] == [m for m in map(first_method, table.splitlines()) if m]
    assert {row["method"] for row in data["rows"]} == set(METHODS)
    names = {column["name"] for column in data["columns"]}
    assert {"psnr", "ssim", "seconds", "times_fbp"} <= names
    for row in data["rows"]:
        assert {f"{name}{end}" for name in names for end in ("", "_low", "_high")} <= row.keys()
        if row["rank"] is None:
            assert (row["status"], row["reason"]) == TROUBLE[row["method"]] and row["psnr"] is None
        else:
            assert f"{row['psnr']:.2f} ({row['psnr_low']:.2f} to {row['psnr_high']:.2f})" in table
    assert any(NOT_CONVERGED in row["notes"] for row in data["rows"])
    assert all(note in table for note in data["notes"])


def test_board_as_json_has_the_run_behind_every_value(ask):
    data = json.loads(ask("board", TASK, "--json")[1])
    assert set(data["runs"]) == set(METHODS)
    for method, runs in data["runs"].items():
        assert set(runs) == {"accuracy", "runtime", "tuning"}
        for kind, run in runs.items():
            wanted = {"started", "seconds", "machine", "device", "threads", "packages", "python", "commit", "clean"}
            assert wanted | {"command", "settings", "tuned", "notes", "file"} <= run.keys()
            assert f"--tasks {TASK} --methods {method} --measurements {kind}" in run["reproduce"]
    assert NOT_CONVERGED in data["runs"][NOTED]["accuracy"]["notes"][0]
    assert set(data["front"]) <= set(METHODS) and data["front"]


def test_board_as_json_has_ledgers_and_curves(ask, tmp_path, capsys):
    data = json.loads(ask("board", TASK, "--json")[1])
    [chosen] = [row for row in data["ledger"]["fbp"] if row["chosen"]]
    assert chosen["weight"] == data["runs"]["fbp"]["tuning"]["settings"]["weight"]
    assert len(data["ledger"]["fbp"]) == 12 and data["ledger"]["tsvd"] == [] and data["curves"] == []
    root = write_tree(tmp_path / "results", tasks=(TASK,), methods=("fbp",), images=2)
    made = make_cell(TASK, 2, "fbp", "accuracy", images=2)
    points = [record("", {"psnr": 10.0 * depth}, {"depth": depth}) for depth in (1, 2)]
    measurement = {**made.measurement, "hash": "0" * 16}
    write(dataclasses.replace(made, kind="depth", measurement=measurement, records=points), root)
    assert main(["board", TASK, "--json", "--results", str(root)]) == 0
    curves = json.loads(capsys.readouterr().out)["curves"]
    assert [(point["at"], point["value"]) for point in curves] == [(1, 10), (2, 20)]


def test_raw_values_of_every_image(ask, root):
    rows = json.loads(ask("board", TASK, "--images", "--json")[1])
    [path] = root.glob(f"{TASK}/cgls/accuracy-*.json")
    expected = [(r["sample"], r["values"]["psnr"]) for r in json.loads(path.read_text())["records"]]
    assert [(row["sample"], row["psnr"]) for row in rows if row["method"] == "cgls"] == expected
    table = ask("board", TASK, "--images")[1]
    assert all(f"{value:.6g}" in table for _, value in expected)
    assert "holds NaN" in table


def first_method(line: str) -> str | None:
    return next((word for word in line.split()[:2] if word in METHODS), None)


def test_board_of_every_task_with_chosen_columns(ask):
    status, table, _ = ask("board", "--columns", "psnr", "seconds")
    assert status == 0
    assert TASK in table and "ct-shepp-logan-30" in table and "ssim" not in table
    assert [made["task"] for made in json.loads(ask("board", "--json")[1])] == [TASK, "ct-shepp-logan-30"]
    status, _, errors = ask("board", TASK, "--columns", "beauty")
    assert status == 2 and "beauty" in errors and "psnr" in errors


def test_a_column_that_was_not_measured_is_empty_and_one_that_cannot_be_is_refused(ask, tmp_path, capsys):
    cell = make_cell(TASK, 1, "fbp", "accuracy")
    write(dataclasses.replace(cell, records=[{**r, "values": {"ssim": 0.5}} for r in cell.records]), tmp_path)
    assert main(["board", TASK, "--results", str(tmp_path), "--alone", "--columns", "psnr", "ssim"]) == 0
    said = capsys.readouterr().out
    assert "No values of psnr for this board." in said
    status, _, errors = ask("board", TASK, "--columns", "psnrs")
    assert status == 2 and "there is no column psnrs; there are: psnr" in errors


def test_a_board_under_rules_that_nothing_was_measured_by_names_those_that_there_are(ask):
    status, _, errors = ask("board", TASK, "--rules", "quick")
    assert status == 2 and "under others there are: --rules full" in errors
    status, said, errors = ask("board", "--rules", "quick")
    assert (status, said) == (0, "") and "no results under the rules 'quick' yet" in errors


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_board_fits_the_terminal(ask, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    status, table, _ = ask("board", TASK)
    lines = table.splitlines()
    assert status == 0 and max(map(len, lines)) <= width
    [head] = [line.split() for line in lines if line.startswith("rank")]
    assert {"method", "family", "psnr", "ssim", "seconds"} <= set(head)
    assert [m for m in map(first_method, lines) if m][: len(METHODS)] == [
        row["method"] for row in json.loads(ask("board", TASK, "--json")[1])["rows"]
    ]
    assert "measured columns are not shown: --columns NAME ... or --all" in table
    joined = " ".join(table.split())
    assert all(reason in joined for _, reason in TROUBLE.values()) and NOT_CONVERGED in joined
    assert (" to " in lines[5]) == (width > 80)


def test_a_disturbed_timing_is_told_below_the_board_that_has_its_column(tmp_path, capsys):
    root = write_tree(tmp_path / "results", tasks=(TASK,), methods=("fbp", "cgls"), images=2)
    made = make_cell(TASK, 2, "cgls", "runtime", images=2)
    loaded = [{**each, "note": "timed on a loaded machine: others used 0.57 cores"} for each in made.records]
    write(
        dataclasses.replace(made, records=loaded, provenance={**made.provenance, "started": "2027-01-01T00:00:00Z"}),
        root,
    )
    for words, told in (
        ([], True),
        (["--all"], True),
        (["--columns", "seconds"], True),
        (["--columns", "psnr"], False),
    ):
        assert main(["board", TASK, *words, "--results", str(root)]) == 0
        lines = " ".join(capsys.readouterr().out.split())
        assert (f"cgls: runtime, {len(loaded)} of {len(loaded)} records: timed on a loaded machine" in lines) == told


def test_a_timing_that_failed_is_told_below_its_column_alone(tmp_path, capsys):
    root = write_tree(tmp_path / "results", tasks=(TASK,), methods=("fbp", "cgls"), images=2)
    made = make_cell(TASK, 2, "cgls", "runtime", images=2)
    later = {**made.provenance, "started": "2027-01-01T00:00:00Z"}
    write(dataclasses.replace(made, status="failed", reason="too slow", records=[], provenance=later), root)
    assert main(["board", TASK, "--columns", "seconds", "--results", str(root)]) == 0
    assert "cgls: runtime: failed, too slow" in capsys.readouterr().out


def test_published_as_table_and_as_json(ask):
    rows = json.loads(ask("published", "--json")[1])
    assert tuple(rows[0]) == COLUMNS
    table = ask("published")[1]
    for row in rows:
        assert row["method"] in table and row["verdict"] in table
        assert f"{row['published']:.{3 if row['metric'] == 'ssim' else 2}f}" in table


def test_a_terminal_without_utf8_is_told_all_the_same(root):
    command = [sys.executable, "-m", "recon_bench", "published", "--results", str(root)]
    told = subprocess.run(command, capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert b"\\xd6ktem" in told.stdout


def test_check_passes_and_fails(ask, root, tmp_path, capsys):
    status, said, _ = ask("check")
    assert status == 0 and "are fine" in said
    damaged = write_tree(tmp_path / "damaged", tasks=(TASK,), methods=("fbp",), images=2)
    victim = next(damaged.glob("*/fbp/accuracy-*.json"))
    victim.write_text(victim.read_text()[:-40])
    assert main(["check", "--results", str(damaged)]) == 1
    assert str(victim) in capsys.readouterr().out
    assert main(["board", TASK, "--results", str(damaged)]) == 0
    assert str(victim) in capsys.readouterr().err  # left out aloud, never in silence


def test_list_and_show_what_is_registered(ask):
    tasks = json.loads(ask("list", "tasks", "--json", results=False)[1])
    assert TASK in [row["task"] for row in tasks]
    methods = json.loads(ask("list", "methods", "--json", results=False)[1])
    assert "fbp" in [row["method"] for row in methods] and "fbp" in ask("list", "methods", results=False)[1]
    assert json.loads(ask("list", "measurements", "--json", results=False)[1])
    card = json.loads(ask("show", TASK, "--json")[1])
    assert card["name"] == TASK and len(card["hash"]) == 16 and card["sizes"]["test"] >= 100
    assert card["hash"] in ask("show", TASK)[1]


def test_show_a_method_with_its_settings_and_where_it_was_tuned(ask):
    card = json.loads(ask("show", "fbp", "--json")[1])
    assert card["settings"] and card["search"].keys() <= card["settings"].keys()
    assert card["tuned"][TASK] == {"weight": 0.01}  # what the synthetic results say
    assert "doi" in ask("show", "fbp")[1]

    [chosen] = [row for row in card["ledger"][TASK] if row["chosen"]]
    assert chosen["weight"] == 0.01


def test_a_setting_that_is_off_is_shown_as_such(ask):
    shown = dict(line.split(maxsplit=1) for line in ask("show", "unrolled-ista")[1].splitlines() if ".tied " in line)
    assert shown == {"settings.tied": "False"}


def test_rules_are_listed_and_shown(ask):
    rows = {row["rule"]: row for row in json.loads(ask("list", "rules", "--json", results=False)[1])}
    for name in ("full", "quick"):
        card = json.loads(ask("show", name, "--json")[1])
        assert card.keys() - {"name"} == rows.keys()  # every rule has a meaning
        assert all(rows[rule][name] == card[rule] for rule in rows)
    assert rows["hash"]["full"] in ask("list", "rules", results=False)[1]


def test_show_a_measurement(ask):
    assert "psnr" in json.loads(ask("show", "accuracy", "--json")[1])["metrics"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["board", "ct-elipses-30"], f"did you mean '{TASK}'"),
        (["show", "ct-elipses-30"], f"did you mean '{TASK}'"),
        (["show", "fpb"], "did you mean 'fbp'"),
        (["show", "nowhere.py"], "nowhere.py"),
        (["reconstruct", "fbp", "--data", "none.npy", "--geometry", "none.toml"], "none.toml: expected a file, but"),
        (["run", "--set", "weight=3"], "METHOD.SETTING=VALUE"),
        (["run", "--set", "fbp.filter"], "METHOD.SETTING=VALUE"),
        (["run", "--shard", "²/3"], "expected I/N"),
        (["run", "--device", "nowhere"], "--device nowhere cannot be used"),
        pytest.param(["run", "--device", "cuda"], "--device cuda cannot be used", marks=NO_CUDA),
        (["run", "--tasks", "ct-elipses-30"], TASK),
        (["run", "--methods", "fpb"], "fbp"),
        (["run", "--methods", "fbp", "--set", "fbp.filtre=hann"], "filter"),
    ],
)
def test_bad_input_is_one_clear_line(ask, words, said):
    status, _, errors = ask(*words)
    assert status == 2
    assert said in errors and "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["board", "published", "check", "site"])
def test_a_missing_folder_is_named(command, tmp_path, capsys):
    assert main([command, "--results", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["fly"], ["board", "--rules", "own"], ["list", "cats"]])
def test_wrong_usage_exits_with_2(words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


WHOLE, NONE = "a whole number of at least 1", "a whole number of at least 0"
NUMBERS = [
    *[(["run", "--budget"], "a finite number of seconds, above 0", text) for text in ("nan", "-5", "0", "inf", "abc")],
    *[(["run", "--memory"], "a finite number of GiB, above 0", text) for text in ("0", "nan", "inf", "8G")],
    *[(["run", "--jobs"], WHOLE, text) for text in ("0", "-1", "two", "1.5", "9" * 400, "9" * 5000)],
    *[(["run", "--threads"], WHOLE, text) for text in ("0", "3000000000")],
    (["confirm", "--jobs"], WHOLE, "0"),
    (["train", "unet", "--task", TASK, "--threads"], WHOLE, "0"),
    (["train", "unet", "--task", TASK, "--minutes"], "a finite number of minutes, at least 0", "nan"),
    *[
        (["train", "unet", "--task", TASK, f"--{name}"], NONE, text)
        for name, text in (("steps", "-1"), ("images", "1e3"), ("seed", str(2**65)))
    ],
    *[(["reproduce", "result.json", f"--{name}"], NONE, "-1") for name in ("images", "threads")],
    (["reconstruct", "fbp", "--data", "y", "--geometry", "g", "--window", "0"], "a finite number", "inf"),
]


@pytest.mark.parametrize(("words", "expected", "text"), NUMBERS)
def test_a_number_that_cannot_be_used_is_refused_with_what_was_expected(words, expected, text, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, text])
    last = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and last.startswith(f"recon-bench {words[0]}: error: argument --")
    assert f"expected {expected}" in last and last.endswith(f"got {text!r}")


def test_numbers_that_an_option_takes_come_as_such():
    words = parser().parse_args(["run", "--budget", "90", "--memory", "0.5", "--jobs", "2"])
    assert (words.budget, words.memory, words.jobs, words.threads) == (90.0, 0.5, 2, None)
    words = parser().parse_args(f"train unet --task {TASK} --minutes 0 --steps 0".split())
    assert (words.minutes, words.steps, words.seed) == (0.0, 0, 0)


def test_run_says_what_it_would_do(ask, tmp_path, capsys):
    words = ["run", "--tasks", TASK, "--methods", "fbp", "--measurements", "accuracy", "--rules", "quick", "--dry-run"]
    assert main([*words, "--results", str(tmp_path / "new")]) == 0
    said = capsys.readouterr().out
    assert TASK in said and "fbp" in said and "accuracy" in said
    assert not (tmp_path / "new").exists()


def test_an_interrupted_run_says_that_what_is_finished_is_kept_and_another_command_that_it_was_interrupted(
    ask, monkeypatch, capsys
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("recon_bench.tables.board.board", interrupted)
    monkeypatch.setattr("recon_bench.run.runner.run", interrupted)
    status, _, errors = ask("board", TASK)
    assert (status, errors.strip()) == (130, "recon-bench: interrupted")
    assert main(["run", "--methods", "fbp", "--tasks", TASK]) == 130
    assert "what was finished is kept" in capsys.readouterr().err


def test_an_interrupt_before_training_says_that_nothing_changed(monkeypatch, tmp_path, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("recon_bench.training.loop._prepared", interrupted)
    assert main(["train", "resnet", "--task", "ct-ellipses-30", "--seed", "99", "--steps", "1"]) == 130
    assert "as they were" in capsys.readouterr().err


def test_site_is_rendered_where_it_was_asked_for(ask, tmp_path):
    status, said, _ = ask("site", "--out", str(tmp_path / "site"))
    assert status == 0 and (tmp_path / "site" / "index.html").is_file()
    assert str(tmp_path / "site" / "index.html") in said


def test_cache_is_shown_and_cleared(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RECON_BENCH_CACHE", str(tmp_path / "cache"))
    entry = tmp_path / "cache" / ("0" * 16)
    entry.mkdir(parents=True)
    (entry / "matrix.npy").write_bytes(b"0" * 2**20)
    assert main(["cache", "show"]) == 0
    assert "1.0 MiB" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert not entry.exists()


def test_a_reader_that_stops_reading_is_no_error(root):
    code = "import sys; from recon_bench.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "board", "--results", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0 and errors == b""


COMMAND = """
from recon_bench.cli import options
from recon_bench.cli.command import Command

def run(arguments):
    print(f"hello from {arguments.results}")
    return 0

COMMAND = Command("greet", options.add_results, run)
"""


@pytest.fixture
def drop_in(tmp_path, monkeypatch):
    """Add a file to the package of commands."""
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])

    def add(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"{cli.__name__}.{name}", raising=False)

    return add


def test_a_command_is_a_file(drop_in, capsys):
    before = list(commands())
    drop_in("hello", COMMAND)
    assert [*before, "hello"] == list(commands())
    assert main(["hello", "--results", "mine"]) == 0
    assert capsys.readouterr().out == "hello from mine\n"


def test_a_file_that_is_no_command_is_named(drop_in):
    drop_in("forgotten", "x = 1\n")
    with pytest.raises(ValueError, match=r"forgotten\.py: expected COMMAND"):
        commands()


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_says_what_its_options_are(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0 and f"usage: recon-bench {name}" in capsys.readouterr().out


def test_python_m_and_the_script_are_one():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert pkgutil.resolve_name(project["scripts"]["recon-bench"]) is main
    said = subprocess.run([sys.executable, "-m", "recon_bench", "--help"], check=True, capture_output=True, text=True)
    assert "print leaderboards" in said.stdout
