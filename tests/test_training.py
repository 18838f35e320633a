"""Training: what it leaves, that a kill loses nothing, and what it says when it cannot go on."""

import dataclasses
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines import unet
from recon_bench import learned, registry, weights
from recon_bench.cli.main import main
from recon_bench.recipe import OPTIMISERS
from recon_bench.scoring import metrics
from recon_bench.training import candidates, checkpoints, examples, optimisers
from recon_bench.training import loop as train
from tests.helpers_training import PRIMAL_DUAL, TOY, UNET, failing, method, method_of, reconstruct

pytestmark = pytest.mark.usefixtures("home")


def go(home, method, **options):
    return train.train(method, TOY, folder=home / "checkpoints", **options)


def psnr(x):
    return float(metrics.psnr(TOY.samples("test")[0].truth[None], x, TOY.data_range).mean())


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("method", [UNET, PRIMAL_DUAL], ids=lambda method: method.name)
def test_training_leaves_weights_and_a_card(home, method, optimiser, capsys):
    name = go(home, method, steps=120, changes={"optimiser": optimiser})
    card = weights.card(name)
    assert card["finished"] and card["steps"] == 120 and card["samples"] == 480
    assert card["validation"][-1][1] > card["validation"][0][1]
    assert card["best"]["psnr"] == max(value for _, value in card["validation"])
    assert card["parameters"] == sum(card["layers"].values()) > 0
    assert abs(card["rounding_change_db"]) < 0.02 and card["bits"] <= 16
    assert card["seconds"] > 0 and card["peak_bytes"] > 0 and card["recipe"]["batch"] == 4
    assert not list((home / "checkpoints").rglob("*.pt"))
    assert "step 120/120" in capsys.readouterr().out
    assert psnr(reconstruct(method)) > 15


WIDE = method_of("unet", width=16, scales=2)


def test_weights_are_kept_in_the_fewest_bits_that_change_the_psnr_by_little(home, monkeypatch):
    kept = {}
    for change in (0.02, 0.002, 0.0):
        monkeypatch.setattr(candidates, "CHANGE", change)
        name = go(home, WIDE, steps=20, replace=True)
        facts, card, state = weights.registry()[name], weights.card(name), weights.load_named(name)
        network = learned.untrained(WIDE.network, TOY.problem(), WIDE.settings)
        weights.install(network, state, name)
        operator, shown = TOY.problem().operator, candidates.images(TOY.problem(), 3)
        assert candidates.psnr(network, operator, *shown) == pytest.approx(card["best"]["psnr"], abs=change + 1e-4)
        kept[card["bits"]] = facts["bytes"]
    assert list(kept) == sorted(kept) and list(kept.values()) == sorted(kept.values())
    assert min(kept) < 8 and max(kept) == 32 and min(kept.values()) < max(kept.values()) / 3


def test_a_network_of_small_kernels_is_kept_in_half_precision(home):
    card = weights.card(go(home, PRIMAL_DUAL, steps=20))
    state = weights.load_named("toy/learned-primal-dual")
    assert card["bits"] == 16 and all(torch.equal(tensor, tensor.half().float()) for tensor in state.values())


def test_a_killed_training_resumes_exactly(home):
    script = (
        "import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path; from recon_bench.training.loop import train; from tests.helpers_training import *\n"
        f"train(PRIMAL_DUAL, TOY, folder=Path({str(home / 'checkpoints')!r}), steps=200, checkpoint_seconds=0)"
    )
    root = Path(__file__).parent.parent
    process = subprocess.Popen([sys.executable, "-c", script], cwd=root, env=os.environ | {"PYTHONPATH": str(root)})
    deadline = time.monotonic() + 60
    while not list((home / "checkpoints").rglob("*.pt")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (checkpoint,) = (home / "checkpoints").rglob("*.pt")
    assert 0 < torch.load(checkpoint)["state"]["step"] < 200
    with pytest.raises(train.TrainingError, match="--resume"):
        go(home, PRIMAL_DUAL)
    name = go(home, PRIMAL_DUAL, resume=True)
    resumed, curves = weights.load_named(name), weights.card(name)
    go(home, PRIMAL_DUAL, steps=200)
    whole = weights.load_named(name)
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
    assert all(curves[key] == weights.card(name)[key] for key in ("loss", "validation", "steps", "best"))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_sessions_end_after_minutes_and_add_up(home, optimiser, capsys):
    changes = {"optimiser": optimiser}
    name = go(home, UNET, steps=40, minutes=1e-6, changes=changes)
    assert not weights.card(name)["finished"] and weights.card(name)["steps"] == 10
    with pytest.raises(train.TrainingError, match="was started for 40 steps, not 50 steps"):
        go(home, UNET, steps=50, resume=True)
    go(home, UNET, resume=True)
    assert weights.card(name)["finished"] and weights.card(name)["steps"] == 40
    in_parts = weights.load_named(name)
    capsys.readouterr()
    go(home, UNET, steps=40, resume=True, changes=changes)
    assert "is trained" in capsys.readouterr().out
    go(home, UNET, steps=40, changes=changes)
    assert all(torch.equal(tensor, in_parts[key]) for key, tensor in weights.load_named(name).items())


def test_a_training_says_how_large_its_gradients_are_before_they_are_clipped(home, capsys):
    for clip in (1e-6, 1e6):
        go(home, UNET, steps=1, changes={"clip": clip}, replace=True)
    said = re.findall(r"step 1/1, loss .*, gradient ([0-9.e-]+), validation", capsys.readouterr().out)
    assert len(said) == 2 and said[0] == said[1] and float(said[0]) > 0


@pytest.mark.parametrize("shape", [(3, 32, 7, 3, 3), (2, 32, 5, 1, 1), (1, 4, 16, 3, 3)])
def test_muon_moves_every_direction_of_a_convolution_as_far(shape):
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(shape, generator=generator).flatten(2) * torch.logspace(-2, 0, shape[2] * shape[3] ** 2)
    values = torch.linalg.svdvals(optimisers.orthogonal(gradients))
    assert values.min() > 0.4 and values.max() < 1.4
    tiny = optimisers.orthogonal(1e-25 * torch.randn(shape, generator=generator).flatten(2))
    assert torch.linalg.svdvals(tiny).max() < 1.4 and not optimisers.orthogonal(torch.zeros_like(tiny)).any()


@pytest.mark.parametrize("optimiser", [optimisers.Muon, optimisers.Soap])
def test_a_kernel_without_gradient_stays_where_it_is(optimiser):
    dead, live, never = (torch.nn.Parameter(torch.ones(4, 2, 3, 3)) for _ in range(3))
    steps = optimiser([dead, live, never], 0.1)
    for _ in range(2 * optimisers.FIRST):
        dead.grad, live.grad = torch.zeros_like(dead), torch.ones_like(live)
        steps.step()
    assert (dead == 1).all() and (live < 1).all() and (never == 1).all()


def directions(gradients, state=None):
    """Of SOAP, one after each gradient."""
    state = {} if state is None else state
    return [optimisers.adam_in_own_axes(state, gradient) for gradient in gradients]


def orthogonal_part(matrix):
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


def matrices(count, rows=8, columns=18):
    return torch.randn(count, rows, columns, generator=torch.Generator().manual_seed(0))


def test_soap_moves_along_all_axes_of_a_gradient_alike_and_starts_slowly():
    (gradient,) = matrices(1)
    found = directions([gradient] * 40)
    expected = [max(0.0, 1 - optimisers.DECAY ** (step - 9)) * orthogonal_part(gradient) for step in range(1, 41)]
    assert not torch.stack(found[:9]).any()
    assert (torch.stack(found) - torch.stack(expected)).abs().max() < 0.04


def test_the_axes_of_soap_follow_the_gradient():
    before, after = matrices(2)
    last = directions([before] * 20 + [after] * 1000)[-1]
    assert (last - orthogonal_part(after)).norm() < 2  # 10 with the axes of before


def test_what_soap_knows_of_an_axis_stays_with_it():
    one, other = torch.diag(torch.tensor([1.0, 0.1])), torch.diag(torch.tensor([0.1, 1.0]))
    assert torch.stack(directions([one] * 40 + [other] * 100)).abs().max() < 1  # 1.1 if it does not


@pytest.mark.parametrize(("largest", "has"), [(1024, [True, True]), (8, [True, False]), (7, [False, False])])
def test_soap_turns_no_side_that_is_too_long(monkeypatch, largest, has):
    monkeypatch.setattr(optimisers, "LARGEST", largest)
    state = {}
    (gradient,) = matrices(1)
    found = directions([gradient] * 60, state)[-1]
    assert [axes is not None for axes in state["axes"]] == has
    assert any(has) or torch.allclose(found, found.max() * gradient.sign(), atol=0.1)  # no axes: Adam's direction


@pytest.mark.parametrize("size", [1e-25, 1e-10, 1e10])
def test_soap_takes_gradients_of_any_size(size):
    found = torch.stack(directions(size * matrices(40)))
    assert found.isfinite().all() and found.abs().max() < 5


def test_soap_passes_nan_on_to_the_training_that_reports_it():
    gradients = matrices(30)
    gradients[4, 0, 0] = torch.nan
    assert directions(gradients)[-1].isnan().any()


def test_soap_goes_on_from_its_saved_state():
    gradients = list(matrices(30))
    kernels = [torch.nn.Parameter(torch.zeros(8, 2, 3, 3)) for _ in range(2)]
    whole, parts = (optimisers.Soap([kernel], 0.1) for kernel in kernels)
    for step, gradient in enumerate(gradients):
        for kernel in kernels:
            kernel.grad = gradient.reshape(kernel.shape).clone()
        if step in (5, 13, 20):
            saved = io.BytesIO()
            torch.save(parts.state_dict(), saved)
            parts = optimisers.Soap([kernels[1]], 0.1)
            saved.seek(0)
            parts.load_state_dict(torch.load(saved))
        whole.step()
        parts.step()
    assert kernels[0].any() and torch.equal(*kernels)


def test_a_training_resumes_with_the_optimiser_that_it_began_with(home):
    go(home, UNET, steps=40, minutes=1e-6)
    with pytest.raises(train.TrainingError, match="with optimiser=adam; resume without --recipe optimiser"):
        go(home, UNET, resume=True, changes={"optimiser": "muon"})


def test_a_budget_in_minutes_ends_on_time_with_the_rate_at_zero(home):
    card = weights.card(go(home, UNET, minutes=0.02))
    assert card["finished"] and card["budget"] == {"steps": 0, "minutes": 0.02}
    assert 1.2 <= card["seconds"] < 5


def test_nan_stops_the_training_and_keeps_the_last_good_checkpoint(home):
    bad = failing("nan")
    with pytest.raises(train.TrainingError, match=r"by step 30; the checkpoint .* is kept. Lower the rate \(--recipe"):
        go(home, bad, checkpoint_seconds=0)
    (checkpoint,) = (home / "checkpoints").rglob("*.pt")
    kept = torch.load(checkpoint)
    assert kept["state"]["step"] == 20 and torch.isfinite(kept["network"]["weight"]).all()
    go(home, failing(""), resume=True, changes={"rate": 1e-4})
    assert weights.card("toy/failing")["recipe"]["rate"] == 1e-4


def test_an_interrupted_training_is_kept(home, capsys):
    with pytest.raises(KeyboardInterrupt):
        go(home, failing("stop"))
    (checkpoint,) = (home / "checkpoints").rglob("*.pt")
    assert torch.load(checkpoint)["state"]["step"] == 30
    assert weights.card("toy/failing")["steps"] == 30 and not weights.card("toy/failing")["finished"]
    assert "stopped after 30 steps; the same command with --resume goes on" in capsys.readouterr().out
    go(home, failing(""), resume=True)
    assert weights.card("toy/failing")["finished"]


def test_a_stopped_training_does_not_replace_better_weights(home):
    name = go(home, UNET, steps=60)
    before = weights.load_named(name)
    go(home, UNET, steps=600, minutes=1e-6, changes={"rate": 1e-9})
    assert all(torch.equal(tensor, before[key]) for key, tensor in weights.load_named(name).items())


def test_worse_weights_replace_better_ones_only_when_told(home, capsys):
    name = go(home, UNET, steps=60)
    before = weights.card(name)
    go(home, UNET, steps=20, changes={"rate": 1e-9})
    assert weights.card(name) == before
    assert "--resume --replace keeps these instead" in capsys.readouterr().out
    with pytest.raises(train.TrainingError, match="did worse than the weights in use; --resume --replace keeps it"):
        go(home, UNET, steps=20)
    with pytest.raises(train.TrainingError, match="was trained with batch=4; resume without --recipe batch"):
        go(home, UNET, resume=True, replace=True, changes={"batch": 64})
    go(home, UNET, resume=True, replace=True)
    assert weights.card(name)["steps"] == 20 and not list((home / "checkpoints").rglob("*.pt"))


def test_weights_are_compared_on_the_same_validation_images(home):
    name = go(home, UNET, steps=60)
    seal = weights.seals([name])
    (file,) = (home / "weights" / "toy").glob("unet.*.json")
    card = json.loads(file.read_text())
    card["recipe"]["validation_images"], card["best"]["psnr"] = 1, 0.0  # as if that one image were a hard one
    file.write_text(json.dumps(card))
    go(home, UNET, steps=20, changes={"rate": 1e-9})
    assert weights.seals([name]) == seal


def test_finished_weights_count_for_the_recipe_that_made_them(home, capsys):
    go(home, UNET, steps=40)
    go(home, UNET, steps=20, resume=True)
    assert "is trained" in capsys.readouterr().out
    name = go(home, UNET, steps=40, resume=True, changes={"optimiser": "muon"}, replace=True)
    assert weights.card(name)["recipe"]["optimiser"] == "muon"


def test_what_a_training_started_from_is_its_first_candidate(home):
    name, other = go(home, UNET, steps=60), go(home, UNET, steps=10, images=2)
    before, state = weights.card(name), weights.load_named(name)
    settings = dataclasses.replace(UNET.settings, weights=name)
    card = weights.card(go(home, UNET, settings=settings, steps=20, images=2, changes={"rate": 10.0}, replace=True))
    assert card["best"]["step"] == 0 and card["start"]["sha256"] == weights.seals([name])[name]
    assert all(torch.equal(tensor, state[key]) for key, tensor in weights.load_named(other).items())
    go(home, UNET, settings=settings, steps=20, changes={"rate": 10.0})
    assert weights.card(name) == before and not list((home / "checkpoints").rglob("*.pt"))
    go(home, UNET, settings=settings, steps=20, changes={"rate": 10.0}, replace=True)
    assert weights.card(name)["best"]["psnr"] < before["best"]["psnr"]


def test_a_resumed_training_goes_on_as_it_began_and_its_card_tells_all(home):
    other = go(home, PRIMAL_DUAL, steps=20, images=2)
    go(home, PRIMAL_DUAL, steps=40, minutes=1e-9)
    settings = dataclasses.replace(PRIMAL_DUAL.settings, weights=other)
    with pytest.raises(train.TrainingError, match="from random weights, not from toy/learned-primal-dual-images2"):
        go(home, PRIMAL_DUAL, settings=settings, resume=True)
    card = weights.card(go(home, PRIMAL_DUAL, resume=True, changes={"batch": 2}))
    assert card["samples"] == 10 * 4 + 30 * 2
    assert [(session["step"], session["recipe"].get("batch", 4)) for session in card["sessions"]] == [(0, 4), (10, 2)]


def test_two_processes_cannot_be_at_one_training(home):
    other = checkpoints.alone(home / "checkpoints" / "toy" / "unet.pt")
    with other, pytest.raises(train.TrainingError, match="another process is at this training"):
        go(home, UNET)


def test_a_rate_that_is_too_large_is_found_out(home):
    with pytest.raises(train.TrainingError, match="NaN or infinite by step"):
        go(home, PRIMAL_DUAL, changes={"rate": 1e30})


def test_out_of_memory_says_which_batch_fits(home):
    with pytest.raises(train.TrainingError, match="with a batch of 8; a batch of 2 fits: --recipe batch=2"):
        go(home, failing("memory"), changes={"batch": 8})


def test_a_batch_fits_once_the_memory_of_the_failed_one_is_free(home):
    class Held:
        total = 0

        def __init__(self, images):
            self.images = images
            Held.total += images

        def __del__(self):
            Held.total -= self.images

    class Roomy(torch.nn.Module):  # has room for five images at a time
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, y, A):
            held = Held(len(y))
            if held.total > 5:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self.weight * learned.Scaled(A, 1000.0).adjoint(y)

    roomy = method("roomy", lambda problem, settings: Roomy(), PRIMAL_DUAL.settings)
    with pytest.raises(train.TrainingError, match="a batch of 4 fits"):
        go(home, roomy, changes={"batch": 8})


def test_out_of_memory_at_a_validation_keeps_the_checkpoint(home, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    go(home, UNET, steps=40, minutes=1e-6)
    with (
        monkeypatch.context() as patched,
        pytest.raises(train.TrainingError, match="go on with --resume"),
    ):
        patched.setattr(metrics, "psnr", full)
        go(home, UNET, resume=True)
    assert weights.card(go(home, UNET, resume=True))["steps"] == 40


def test_a_damaged_checkpoint_is_named(home):
    go(home, UNET, steps=40, minutes=1e-6)
    (checkpoint,) = (home / "checkpoints").rglob("*.pt")
    for content in (checkpoint.read_bytes()[:200], b"no checkpoint", pickle.dumps(print, protocol=2)):
        checkpoint.write_bytes(content)
        with pytest.raises(train.TrainingError, match=r"cannot be read: expected .*delete it") as caught:
            go(home, UNET, resume=True)
        assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("name", ["fbp", "learned-primal-dual-corrected"])
def test_a_method_without_a_network_or_with_that_of_another_is_not_trained(home, name):
    with pytest.raises(train.TrainingError, match=f"{name} has nothing to train"):
        go(home, registry.method(name))


def test_batches_depend_on_seed_and_number_alone():
    problem = TOY.problem()
    draw = examples.source(problem, torch.nn.Identity(), 0, 0)

    def some(seed, first, count):
        with examples.batches(draw, seed, first, 2, examples.Spent()) as stream:
            return [next(stream) for _ in range(count)]

    assert torch.equal(some(1, 0, 6)[5][0], some(1, 5, 1)[0][0])
    assert not torch.equal(some(1, 0, 1)[0][0], some(2, 0, 1)[0][0])


def test_a_few_images_are_those_of_the_training_split():
    network = learned.untrained(UNET.network, TOY.problem(), UNET.settings)
    draw = examples.source(TOY.problem(), network, images=2, crop=16)
    start, truth = draw(np.random.default_rng(0), 5)
    assert start.shape == truth.shape == (5, 16, 16)
    whole = [TOY.samples("train")[i].truth / TOY.data_range for i in range(2)]
    patches = torch.stack([image.unfold(0, 16, 1).unfold(1, 16, 1).reshape(-1, 16, 16) for image in whole]).flatten(
        0, 1
    )
    assert all((patches == crop).all((1, 2)).any() for crop in truth)
    with pytest.raises(ValueError, match="post-processing"):
        examples.source(TOY.problem(), torch.nn.Identity(), 0, crop=16)


@pytest.mark.parametrize("method", [UNET, PRIMAL_DUAL], ids=lambda method: method.name)
def test_a_batch_gives_what_single_images_give_and_units_do_not_matter(home, method):
    go(home, method, steps=20)
    problem = TOY.problem()
    net = method.build(problem, method.settings)
    y = torch.stack([sample.data for sample in TOY.samples("test")])
    together = net(y, problem.operator)
    torch.testing.assert_close(
        together, torch.cat([net(one[None], problem.operator) for one in y]), rtol=1e-4, atol=1e-4
    )
    scaled = method.build(dataclasses.replace(problem, data_range=20.0), method.settings)
    torch.testing.assert_close(scaled(10 * y, problem.operator), 10 * together, rtol=1e-4, atol=1e-3)


def test_u_net_starts_from_the_quick_reconstruction_of_any_size():
    task = registry.task("mri-brain-4x")
    problem = task.problem()
    network = learned.untrained(unet.network, problem, dataclasses.replace(unet.METHODS[0].settings, width=2))
    y = task.samples("train")[0].data[None]
    with torch.no_grad():
        torch.testing.assert_close(network(y, problem.operator), problem.operator.adjoint(y))
    odd = unet.UNet(1, 4, 4)
    assert odd(torch.rand(1, 1, 37, 50)).shape == (1, 1, 37, 50)


def test_the_command_trains_and_shows(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    words = ["train", "learned-primal-dual", "--task", "ct-ellipses-30", "--steps", "2", "--threads", "1"]
    words += ["--set", "depth=1", "--set", "width=4", "--recipe", "batch=1", "--recipe", "validation_images=1"]
    assert main(words) == 0
    assert "kept as ct-ellipses-30/learned-primal-dual-depth1-width4" in capsys.readouterr().out
    assert main(["show", "learned-primal-dual"]) == 0
    shown = capsys.readouterr().out
    assert "253,220" in shown and "dual.0.0 Conv2d (32, 7, 3, 3)" in shown and "depth1-width4" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["unett", "--task", "ct-ellipses-30"], "did you mean 'unet'"),
        (["unet", "--task", "ct-elipses-30"], "ct-ellipses-30"),
        (["fbp", "--task", "ct-ellipses-30"], "nothing to train"),
        (["learned-primal-dual", "--task", "mri-brain-4x"], "cannot be trained on mri-brain-4x"),
        (["unet", "--task", "ct-ellipses-30", "--set", "deep=3"], "deep"),
        (["unet", "--task", "ct-ellipses-30", "--recipe", "speed=3"], "speed"),
        (["unet", "--task", "ct-ellipses-30", "--recipe", "rate"], "NAME=VALUE"),
        (["unet", "--task", "ct-ellipses-30", "--recipe", "precision=half"], "float32"),
        (["unet", "--task", "ct-ellipses-30", "--recipe", "validate=0"], "at least 1"),
        (["unet", "--task", "ct-ellipses-30", "--set", "seed=3"], "--seed"),
        (["unet", "--task", "ct-ellipses-30", "--device", "abacus"], "--device abacus cannot be used"),
        (["unet", "--task", "mri-brain-4x", "--images", "1000"], "at most the 87 images"),
    ],
)
def test_bad_input_is_one_clear_line(words, said, capsys):
    assert main(["train", *words]) == 2
    errors = capsys.readouterr().err
    assert said in errors and "Traceback" not in errors and len(errors.strip().splitlines()) == 1


def test_a_card_tells_where_the_weights_came_from_and_who_trained(home):
    name = go(home, UNET, steps=20)
    first = weights.card(name)
    assert first["start"] is None
    assert [(session["step"], session["threads"]) for session in first["sessions"]] == [(0, 1)]
    seal = weights.seals([name])[name]
    settings = dataclasses.replace(UNET.settings, weights=name)
    go(home, UNET, settings=settings, steps=40, minutes=1e-9)
    torch.set_num_threads(2)
    go(home, UNET, settings=settings, steps=40, resume=True)
    again = weights.card(name)
    made = {key: first[key] for key in ("command", "sessions", "start")}
    assert again["start"] == {"name": name, "sha256": seal, "samples": 80, "seconds": first["seconds"], **made}
    assert [(session["step"], session["threads"]) for session in again["sessions"]] == [(0, 1), (10, 2)]
