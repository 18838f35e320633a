"""Weights that come with the project: found by name, and refused when they are not what the registry says."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open

from recon_bench import learned, registry, storage, weights
from recon_bench.core import NotApplicable
from recon_bench.operators import MaskedFourier
from recon_bench.training import candidates, examples
from recon_bench.weights import WeightsError
from tests.helpers_training import PRIMAL_DUAL, TOY, UNET, reconstruct

FOURIER = dataclasses.replace(TOY.problem(), operator=MaskedFourier((20, 27), (3, 9, 12, 13, 14, 20)))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def keep(method, task="toy", seed=0, variant="", **settings):
    """Random weights of the method, kept; gives them."""
    chosen = dataclasses.replace(method.settings, seed=seed, **settings)
    network = learned.untrained(method.network, TOY.problem(), chosen)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    weights.save(method.name, task, network.state_dict(), {}, seed, variant)
    return network.state_dict()


def test_what_is_saved_is_loaded_in_float32(folder):
    state = keep(UNET)
    loaded = weights.load_named("toy/unet")
    assert loaded.keys() == state.keys()
    for key, tensor in loaded.items():
        assert tensor.dtype == state[key].dtype
        torch.testing.assert_close(tensor, state[key].contiguous(), rtol=1e-3, atol=1e-6)
    assert not [path for path in folder.rglob("*") if "tmp" in path.name]


def test_without_weights_the_row_says_how_to_train():
    with pytest.raises(NotApplicable, match="recon-bench train unet --task toy"):
        reconstruct(UNET)
    with pytest.raises(NotApplicable, match="train learned-primal-dual --task toy --seed 3 --set depth=4"):
        reconstruct(PRIMAL_DUAL, depth=4, memory=5, width=32, seed=3)
    with pytest.raises(weights.NoWeights, match="no weights toy/unet"):
        weights.load_named("toy/unet")


def test_weights_of_another_method_for_the_task_are_asked_for_by_its_name():
    keep(PRIMAL_DUAL)
    keep(PRIMAL_DUAL, seed=1)
    method = dataclasses.replace(PRIMAL_DUAL, name="mine")
    borrowed = dataclasses.replace(method.settings, weights="learned-primal-dual")
    assert weights.own(method, "toy") == []
    assert weights.own(method, "toy", seeds=(0, 1), settings=borrowed) == [
        "toy/learned-primal-dual",
        "toy/learned-primal-dual-seed1",
    ]
    assert weights.own(method, "elsewhere", settings=borrowed) == []
    assert torch.equal(reconstruct(PRIMAL_DUAL, weights="learned-primal-dual"), reconstruct(PRIMAL_DUAL))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is truncated: expected .* bytes, found"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "was altered: expected sha256"),
    ],
)
def test_damaged_weights_are_refused(folder, damage, said):
    keep(UNET)
    damage(folder / weights.registry()["toy/unet"]["file"])
    with pytest.raises(WeightsError, match=said) as refused:
        reconstruct(UNET)
    assert "train it again" in str(refused.value)


def test_a_kill_before_the_registry_is_written_leaves_the_old_weights(folder, monkeypatch):
    old = keep(UNET)
    write = storage.replace_file

    def killed(path, content):
        if path.name == "registry.json":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(weights, "replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        weights.save("unet", "toy", {key: tensor + 1 for key, tensor in old.items()}, {})
    assert torch.equal(weights.load_named("toy/unet")["network.last.weight"], old["network.last.weight"].half().float())
    monkeypatch.undo()
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(folder))
    keep(UNET)
    assert len(list((folder / "toy").iterdir())) == 2


def test_another_architecture_is_named_tensor_by_tensor():
    keep(UNET)
    with pytest.raises(WeightsError, match=r"network.down.0.0.weight: expected \(6, 1, 3, 3\), found \(4, 1, 3, 3\)"):
        reconstruct(UNET, width=6, weights="toy/unet")
    with pytest.raises(WeightsError, match=r"dual.0.0.bias: expected \(4,\), found nothing"):
        reconstruct(PRIMAL_DUAL, weights="toy/unet")


def test_with_weights_of_another_architecture_under_its_own_name_a_method_does_not_apply():
    keep(UNET, width=6)  # as of a network that has changed since it was trained
    with pytest.raises(NotApplicable, match=r"the weights toy/unet are of another architecture: .* train the network"):
        reconstruct(UNET)


def test_weights_of_another_task_are_used_only_when_named(folder):
    keep(UNET, task="other")
    with pytest.raises(NotApplicable):
        reconstruct(UNET)
    assert reconstruct(UNET, weights="other/unet").shape == (1, 32, 32)
    entries = json.loads((folder / "registry.json").read_text())
    entries["toy/unet"] = entries["other/unet"]
    (folder / "registry.json").write_text(json.dumps(entries))
    with pytest.raises(WeightsError, match="expected weights of the task toy, these are for other"):
        reconstruct(UNET)


def test_seeds_and_settings_have_weights_of_their_own():
    first, second = keep(PRIMAL_DUAL), keep(PRIMAL_DUAL, seed=1)
    deeper = dataclasses.replace(PRIMAL_DUAL.settings, depth=3)
    keep(PRIMAL_DUAL, variant=weights.variant(deeper, PRIMAL_DUAL.settings), depth=3)
    assert weights.load_named("toy/learned-primal-dual").keys() == first.keys() == second.keys()
    assert not torch.equal(reconstruct(PRIMAL_DUAL), reconstruct(PRIMAL_DUAL, seed=1))
    assert not torch.equal(reconstruct(PRIMAL_DUAL), reconstruct(PRIMAL_DUAL, depth=3))


@pytest.mark.parametrize("content", ["{", "null", '["toy/unet"]', '{"toy/unet": 1}'])
def test_a_damaged_registry_says_so(folder, content):
    keep(UNET)
    assert "toy/unet" in weights.registry()
    (folder / "registry.json").write_text(content)
    with pytest.raises(WeightsError, match=r"registry.json: cannot be read"):
        weights.load_named("toy/unet")


def test_what_a_reader_does_to_the_facts_of_weights_is_not_seen_by_the_next(folder):
    keep(UNET)
    weights.registry()["toy/unet"]["sha256"] = "mine"
    assert weights.registry()["toy/unet"]["sha256"] != "mine"


def test_results_are_measured_again_when_weights_change():
    def told(task="toy", **settings):
        return weights.seals(weights.own(UNET, task, settings=dataclasses.replace(UNET.settings, **settings)))

    assert told() == {}
    keep(UNET)
    trained = told()
    assert trained and told(task="other") == {}
    keep(UNET, variant="images10")
    assert told() == trained
    assert told(task="other", weights="toy/unet") == trained and told(weights="toy/nothing") == {}
    assert weights.own(UNET, "toy", settings=dataclasses.replace(UNET.settings, width=5)) == ["toy/unet"]
    keep(UNET, variant="width5", width=5)
    assert weights.own(UNET, "toy", settings=dataclasses.replace(UNET.settings, width=5)) == ["toy/unet-width5"]


def test_shipped_weights_are_whole(monkeypatch):
    monkeypatch.delenv("RECON_BENCH_WEIGHTS")
    for name, facts in weights.registry().items():
        assert weights.architecture(weights.load_named(name)) == facts["architecture"]
        assert facts["bytes"] <= 10e6
        card, method = weights.card(name), registry.method(facts["method"])
        assert card["parameters"] > 0
        problem = FOURIER if facts["task"].startswith("mri") else dataclasses.replace(TOY.problem(), phantoms=TOY.fresh)
        network = learned.untrained(method.network, problem, type(method.settings)(**card["settings"]))
        assert weights.architecture(network.state_dict()) == facts["architecture"], name
        if "bits" in card:
            assert abs(card["rounding_change_db"]) < 0.02
        elif card["half_precision"]:
            assert abs(card["half_precision_change_db"]) < 0.01
        assert safe_open(weights.folder() / facts["file"], "pt").keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", weights.registry())
def test_shipped_weights_do_as_well_as_their_cards_say(name, monkeypatch):
    monkeypatch.delenv("RECON_BENCH_WEIGHTS")
    card = weights.card(name)
    method, problem = registry.method(card["method"]), registry.task(card["task"]).problem()
    if card["recipe"]["phantoms"]:
        problem = examples.on_phantoms(problem)
    network = learned.untrained(method.network, problem, type(method.settings)(**card["settings"]))
    weights.install(network, weights.load_named(name), name)
    found = candidates.psnr(network, problem.operator, *candidates.images(problem, card["recipe"]["validation_images"]))
    assert found == pytest.approx(card["best"]["psnr"], abs=0.02)
