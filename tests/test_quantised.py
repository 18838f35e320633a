"""Weights in few bits: what comes back, how small it is, and what is said of damaged ones."""

import json
import math

import numpy as np
import pytest
import safetensors.numpy
import torch
from safetensors.torch import load, save
from torch import nn

from recon_bench import learned, quantised, weights
from recon_bench.quantised import CODES, HIGH, INDEX, LOW, FormatError
from recon_bench.training import rounding
from tests.helpers_training import PRIMAL_DUAL, TOY, UNET


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def packed(bits=6.0, **tensors):
    return quantised.encode(tensors, {name: quantised.rounded(tensor, bits) for name, tensor in tensors.items()})


@pytest.mark.parametrize("bits", [2, 3.5, 6, 8, 11, 16])
@pytest.mark.parametrize("shape", [(1,), (5, 3), (7, 2, 3, 3), (64, 32, 3, 3)])
def test_every_number_comes_back_within_half_a_step(bits, shape):
    tensor = normal(*shape) * 10.0 ** torch.linspace(-3, 1, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    few = quantised.rounded(tensor, bits)
    found = quantised.decode(load(save(quantised.encode({"a": tensor}, {"a": few}))))["a"]
    assert found.dtype == torch.float32 and torch.equal(found, few.value())
    step = quantised.steps(few.codes).reshape(-1, *[1] * (len(shape) - 1))
    assert ((found - tensor).abs() <= 0.5 * step + 1e-7 * tensor.abs()).all()


@pytest.mark.parametrize("wanted", [2.0**-15, 1e-3, 0.7, 255.0])
def test_steps_are_the_nearest_powers_of_two_to_an_eighth(wanted):
    (code,) = quantised.nearest_codes(torch.tensor([wanted]))
    assert abs(math.log2(float(quantised.steps(code)) / wanted)) <= 1 / 16 + 1e-6


def test_rows_of_zeros_and_of_one_large_number_come_back():
    tensor = torch.zeros(3, 4000)
    tensor[1], tensor[2] = normal(4000), 1e-4 * normal(4000)
    tensor[2, 7] = 1000.0
    found = quantised.decode(packed(10, a=tensor))["a"]
    assert torch.equal(found[0], tensor[0])
    assert float((found[1] - tensor[1]).abs().max()) < 3e-3 and float(found[2, 7]) == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize("bits", [3, 4, 6, 8, 10, 12])
def test_a_file_has_the_bits_that_were_asked_for(bits):
    tensor = normal(128, 64, 3, 3)
    size = len(save(packed(bits, a=tensor)))
    assert size < (bits + 0.1) / 8 * tensor.numel() + 1000
    assert size < len(save({"a": tensor.half()}))


def test_unequal_layers_share_a_file_and_the_rest_stays_as_it_is():
    state = {"a": normal(40, 30), "bias": normal(40).half(), "b": 1e-3 * normal(8, 4, 3, 3), "count": torch.tensor(7)}
    few = {"b": quantised.rounded(state["b"], 4), "a": quantised.rounded(state["a"], 12)}
    tensors = load(save(quantised.encode(state, few)))
    found = quantised.decode(tensors)
    assert weights.architecture(found) == weights.architecture(state)
    assert found["bias"].dtype == torch.float16 and torch.equal(found["count"], state["count"])
    assert all(torch.equal(found[name], few[name].value()) for name in few)
    assert torch.equal(tensors["bias"], state["bias"])
    assert set(safetensors.numpy.load(save(tensors))) == {"bias", "count", INDEX, CODES, HIGH, LOW}


def test_an_ordinary_file_is_given_as_it_is():
    state = {"a": normal(3, 4).half()}
    assert quantised.decode(state).keys() == quantised.encode(state, {}).keys() == state.keys()
    assert torch.equal(quantised.decode(state)["a"], state["a"])


def test_what_cannot_be_packed_is_named():
    with pytest.raises(ValueError, match="cannot be packed: b"):
        quantised.encode({"a": normal(3)}, {"b": quantised.rounded(normal(3), 4)})
    with pytest.raises(ValueError, match="cannot be packed: :low"):
        quantised.encode({":low": normal(3)}, {})


def index(change):
    """Damage that applies ``change`` to the index."""

    def damage(tensors):
        told = json.loads(tensors[INDEX].numpy().tobytes())
        text = change(told)
        text = text if isinstance(text, str) else json.dumps(told)
        return {**tensors, INDEX: torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy())}

    return damage


DAMAGES = [
    (lambda t: {key: t[key] for key in t if key != HIGH}, "has no bytes :high"),
    (lambda t: {**t, CODES: t[CODES].float()}, "has no bytes :codes"),
    (lambda t: {**t, CODES: t[CODES][1:]}, "not of the lengths"),
    (lambda t: {**t, LOW: t[LOW][1:]}, "not of the lengths"),
    (lambda t: {**t, HIGH: t[HIGH][:-9]}, "has not the 6000 integers"),
    (lambda t: {**t, HIGH: t[HIGH] ^ 5}, "integers cannot be read"),
    (lambda t: {**t, HIGH: torch.cat([t[HIGH][:40], t[HIGH][40:] ^ 1])}, "integers cannot be read|has not the 6000"),
    (index(lambda told: told.update(format=2)), "format is 2, and only 1 is known"),
    (index(lambda told: told.pop("format")), "index cannot be read"),
    (index(lambda told: "{"), "index cannot be read"),
    (index(lambda told: "[]"), "index cannot be read"),
    (index(lambda told: told.pop("tensors")), "index is damaged"),
    (index(lambda told: told["tensors"][0].pop()), "index is damaged"),
    (index(lambda told: told["tensors"][0].__setitem__(1, [])), "index is damaged"),
    (index(lambda told: told["tensors"][0].__setitem__(1, [-60, 100])), "index is damaged"),
    (index(lambda told: told["tensors"][0].__setitem__(2, 99)), "index is damaged"),
    (index(lambda told: told["tensors"][0].__setitem__(1, [60, 10**9])), "has not the 60000000000 integers"),
    (index(lambda told: told["tensors"].append(told["tensors"][0])), "has not the 12000 integers"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES)
def test_damaged_files_are_refused(damage, said, tmp_path, monkeypatch):
    tensors = damage(packed(9, a=normal(60, 100)))
    with pytest.raises(FormatError, match=said):
        quantised.decode(tensors)
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path))
    weights.save("unet", "toy", {"a": normal(60, 100)}, {}, stored=tensors)
    with pytest.raises(weights.WeightsError, match=r"safetensors: cannot be unpacked: .*get the file again"):
        weights.load_named("toy/unet")


def trained(method, **settings):
    """A network of the toy with weights that do something, and passes over its training samples."""
    network = learned.untrained(method.network, TOY.problem(), type(method.settings)(**settings))
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    operator, data = TOY.problem().operator, [TOY.problem().train[i].data[None] / TOY.data_range for i in range(6)]
    network.eval()
    return network, [lambda y=y: network(y, operator) for y in data]


def change(network, passes, few):
    """Relative change of what the network gives when its weights are kept as ``few``."""
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        before = torch.cat([call() for call in passes])
        network.load_state_dict(quantised.decode(quantised.encode(state, few)))
        after = torch.cat([call() for call in passes])
        network.load_state_dict(state)
    return float((after - before).norm() / before.norm())


@pytest.mark.parametrize(
    ("method", "settings"), [(UNET, {"width": 16, "scales": 3}), (PRIMAL_DUAL, {"depth": 2, "memory": 2, "width": 16})]
)
def test_networks_change_little_and_less_than_by_rounding_to_the_nearest(method, settings):
    network, passes = trained(method, **settings)
    found = rounding.study(network, passes)
    state = network.state_dict()
    assert found.layers and all(state[name].numel() >= rounding.SMALL for name in found.layers)
    changes = []
    for bits in (4, 6, 8):
        changes.append(change(network, passes, found.rounded(bits)))
        nearest = change(network, passes, {name: quantised.rounded(state[name], bits) for name in found.layers})
        assert changes[-1] < 0.7 * nearest
    assert changes[2] < changes[1] < changes[0] and changes[2] < 0.01


def test_the_nearest_plane_is_nearer_where_inputs_are_alike():
    inputs = normal(20, 400) + 3 * normal(1, 400, seed=1)
    energy, kernel = (inputs @ inputs.T / 400).double(), 5 * normal(8, 20, seed=2).double()
    integers = rounding.nearest_plane(kernel, rounding._feedback(energy), block=7)

    def error(found):
        return float(((kernel - found) @ inputs.double()).norm())

    assert torch.equal(integers, rounding.nearest_plane(kernel, rounding._feedback(energy)))
    assert torch.equal(integers, integers.round()) and error(integers) < 0.7 * error(kernel.round())


def test_gains_are_those_of_a_linear_network():
    network = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.Conv2d(3, 1, 1, bias=False))
    found = rounding.gains(network, [lambda: network(normal(1, 1, 64, 64))])
    expected = 64**2 * network[1].weight.detach().double().flatten().square()
    torch.testing.assert_close(found["0"], expected)
    torch.testing.assert_close(found["1"], torch.tensor([64.0**2], dtype=torch.float64))


def test_transposed_convolutions_are_rounded_too():
    network = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ConvTranspose2d(16, 32, 2, stride=2), nn.Conv2d(32, 1, 1))
    passes = [lambda i=i: network(normal(1, 1, 20, 20, seed=i)) for i in range(3)]
    found = rounding.study(network, passes)
    assert set(found.layers) == {"1.weight"}
    few = found.rounded(8)["1.weight"]
    assert few.integers.shape == network[1].weight.shape and len(set(few.codes.tolist())) == 1
    assert change(network, passes, {"1.weight": few}) < 0.01


def test_a_network_without_large_convolutions_is_left_alone():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 1, 3))
    assert rounding.study(network, [lambda: network(normal(1, 1, 9, 9))]).rounded(4) == {}
