"""Other libraries through the adapters: operators there and back, and the example methods, with the real libraries."""

import ast
import dataclasses
import shutil
import sys

import numpy as np
import pytest
import scipy.sparse as scipy_sparse
import torch

from recon_bench import learned, registry
from recon_bench.adapters import deepinv, functions, networks, odl, pylops, scipy
from recon_bench.core import Noise, NotApplicable, Problem, Samples
from recon_bench.operators import FunctionOperator, MaskedFourier, ParallelBeam, RayTransform, evenly
from recon_bench.recipe import Recipe
from recon_bench.scoring.counting import Counting
from recon_bench.storage import REPOSITORY
from recon_bench.submission.look import look
from recon_bench.submission.small import small
from recon_bench.weights import WeightsError
from tests.helpers import assert_adjoint, assert_batches, assert_gradients, noise, relative

EXAMPLES = sorted((REPOSITORY / "examples" / "methods").glob("*.py"))
FEW = {"iterations": 4}  # of an example, where it has that setting
A = RayTransform(ParallelBeam(24, evenly(12), 35))
F = MaskedFourier((16, 12), (0, 3, 5, 6, 7, 9))
BOTH = pytest.mark.parametrize("operator", [A, F], ids=["ray", "fourier"])


def problem(operator):
    nothing = Samples(0, lambda index: None)
    return Problem(operator, Noise("none"), 2.0, nothing, nothing)


def blob(operator):
    """An image of two blobs, up to 2, of the operator's type."""
    rows, columns = (torch.arange(n) - (n - 1) / 2 for n in operator.domain_shape)
    first = 2 * torch.exp(-((rows[:, None] - 2) ** 2 + (columns + 1) ** 2) / 12)
    return (first + torch.exp(-((rows[:, None] + 4) ** 2 + (columns - 3) ** 2) / 5)).clamp(max=2).to(operator.dtype)


def needs(library):
    """Skips where ``library`` is not installed, or not for this torch."""
    try:
        return deepinv.load() if library == "deepinv" else functions.module(library)
    except NotApplicable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("library", ["deepinv", "odl", "pylops", "pyproximal"])
def test_a_library_does_not_change_how_numbers_are_written(library):
    needs(library)
    assert str(np.float64(1) / 3) == "0.3333333333333333"


def there_and_back(library, operator):
    if library == "scipy":
        return scipy.as_operator(
            scipy.as_linear_operator(operator), operator.domain_shape, operator.range_shape, dtype=operator.dtype
        )
    needs(library)
    if library == "pylops":
        return scipy.as_operator(
            pylops.as_pylops(operator), operator.domain_shape, operator.range_shape, dtype=operator.dtype
        )
    if library == "odl":
        return odl.as_operator(odl.as_odl(operator), dtype=operator.dtype)
    return deepinv.as_operator(deepinv.as_physics(operator), operator.domain_shape, dtype=operator.dtype)


@BOTH
@pytest.mark.parametrize("library", ["scipy", "pylops", "odl", "deepinv"])
def test_an_operator_that_went_to_a_library_and_back_is_the_same(library, operator):
    back = there_and_back(library, operator)
    assert (back.domain_shape, back.range_shape) == (operator.domain_shape, operator.range_shape)
    assert_adjoint(back)
    assert_batches(back)
    x, y = noise((2, *back.domain_shape), operator), noise((2, *back.range_shape), operator)
    assert relative(back(x), operator(x)) < 1e-5 and relative(back.adjoint(y), operator.adjoint(y)) < 1e-5


def test_a_sparse_matrix_becomes_an_operator_that_torch_differentiates():
    matrix = scipy_sparse.random_array((10, 12), density=0.4, rng=np.random.default_rng(0), format="csr")
    operator = scipy.as_operator(matrix, (3, 4), (2, 5), dtype=torch.float64)
    assert_adjoint(operator)
    assert_gradients(operator)
    x = torch.rand(3, 4, dtype=torch.float64)
    np.testing.assert_allclose(operator(x).ravel(), matrix @ x.numpy().ravel())
    with pytest.raises(ValueError, match=r"need an operator of \(10, 9\), got \(10, 12\)"):
        scipy.as_operator(matrix, (3, 3), (2, 5))


def test_a_blur_of_deepinv_is_an_operator():
    blur = needs("deepinv").physics.Blur(filter=torch.rand(1, 1, 3, 3), padding="circular")
    operator = deepinv.as_operator(blur, (8, 9))
    assert operator.range_shape == (8, 9)
    assert_adjoint(operator)


def test_an_operator_of_odl_on_a_discretised_space_has_the_plain_adjoint():
    library = needs("odl")
    space = library.uniform_discr([0, 0], [1, 3], (6, 5), dtype="float32")
    operator = odl.as_operator(library.PartialDerivative(space, axis=0, pad_mode="constant"))
    assert operator.domain_shape == operator.range_shape == (6, 5)
    assert_adjoint(operator, (2,))
    x = torch.rand(6, 5)
    assert torch.allclose(operator(x)[2, 1], (x[3, 1] - x[2, 1]) * 6, rtol=1e-4)


def example(name):
    return registry.imported(str(REPOSITORY / "examples" / "methods" / f"{name}.py"))


@BOTH
@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES if "net" not in path.stem])
def test_an_example_reconstructs_better_than_nothing(name, operator):
    needs(name.partition("_")[0])
    method = example(name)
    settings = dataclasses.replace(method.settings, **{k: v for k, v in FEW.items() if hasattr(method.settings, k)})
    if name.startswith("astra") and operator is F:
        with pytest.raises(NotApplicable, match="needs a parallel-beam ray transform"):
            method.build(problem(operator), settings)
        return
    truth = torch.stack([blob(operator), blob(operator).flip(0)])
    y = operator(truth)
    kept = y.clone()
    reconstruct = method.build(problem(operator), settings)
    x = reconstruct(y, operator)
    assert x.shape == truth.shape and x.dtype == truth.dtype and torch.equal(y, kept)
    assert torch.linalg.vector_norm(x - truth) < 0.8 * torch.linalg.vector_norm(truth)
    assert relative(reconstruct(y[1:], operator)[0], x[1]) < 1e-3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_honours_the_contract(path, tmp_path):
    needs(path.stem.partition("_")[0] if "network" not in path.stem else "torch")
    file = shutil.copy(path, tmp_path)
    state = {
        "weight": torch.nn.init.dirac_(torch.empty(1, 1, 3, 3)),
        "bias": torch.zeros(1),
    }  # leaves images as they are
    torch.save(state, tmp_path / "pretrained_network.pt")
    method = registry.imported(str(file))
    settings = dataclasses.replace(method.settings, **{k: v for k, v in FEW.items() if hasattr(method.settings, k)})
    found = list(look(method, small(registry.task("ct-ellipses-30").problem()), settings))
    assert {each.check: each.failed for each in found if each.failed} == {} and len(found) > 15


def test_a_model_of_deepinv_applies_its_operator_once_an_iteration():
    needs("deepinv")
    method, counting = example("deepinv_tv"), Counting(A)
    reconstruct = method.build(problem(counting), dataclasses.replace(method.settings, iterations=10))
    before = counting.pairs
    reconstruct(A(blob(A))[None], counting)
    assert counting.pairs - before <= 10 + 1


@BOTH
@pytest.mark.parametrize("name", ["plain_network", "deepinv_unet"])
def test_an_example_of_a_network_can_be_trained(name, operator):
    needs("deepinv" if name.startswith("deepinv") else "torch")
    method = example(name)
    assert isinstance(method.recipe, Recipe) and method.settings.seed == 0 and method.settings.weights == ""
    settings = dataclasses.replace(method.settings, **{"scales": 2} if name == "deepinv_unet" else {})
    network = learned.untrained(method.network, problem(operator), settings)
    truth = blob(operator)[None] / 2
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        loss = (network(operator(truth), operator) - truth).abs().square().sum()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0]
    with pytest.raises(NotApplicable, match="recon-bench train"):
        method.build(problem(operator), method.settings)


def test_pretrained_weights_come_from_the_file_and_are_named_by_their_hash(tmp_path):
    source = REPOSITORY / "examples" / "methods" / "pretrained_network.py"
    file = shutil.copy(source, tmp_path / "pretrained_network.py")
    with pytest.raises(NotApplicable, match="expected the file"):
        build(file)
    network = torch.nn.Conv2d(1, 1, 3, padding=1)
    with torch.no_grad():
        network.weight.zero_()[0, 0, 1, 1] = 0.5
        network.bias.zero_()
    torch.save(network.state_dict(), tmp_path / "pretrained_network.pt")
    method, halving = build(file, "# with weights\n")
    y = A(blob(A))[None]
    start = registry.imported("fbp")
    expected = start.build(problem(A), start.settings)(y, A) / 2
    assert torch.allclose(halving(y, A), expected, atol=1e-5)
    assert len(method.settings.sha256) == 64
    torch.save({"state_dict": torch.nn.Conv2d(1, 1, 5).state_dict()}, tmp_path / "pretrained_network.pt")
    with pytest.raises(WeightsError, match="another architecture"):
        build(file, "# others\n")
    (tmp_path / "pretrained_network.pt").write_bytes(b"no weights")
    with pytest.raises(NotApplicable, match="expected the state of a network"):
        build(file, "# damaged\n")


def build(file, changed=""):
    """The method of a file and its reconstructor; a file that has ``changed`` is imported again."""
    with open(file, "a") as text:  # noqa: PTH123
        text.write(changed)
    method = registry.imported(str(file))
    return method, method.build(problem(A), method.settings)


def test_the_settings_of_a_method_are_the_defaults_of_its_function():
    def solve(A, y, weight=0.5, iterations=3):
        """Solve it. And more."""
        return A.rmatvec(y) * weight * iterations

    method = scipy.as_method("mine", solve, title="Mine", depth="iterations")
    assert dataclasses.asdict(method.settings) == {"weight": 0.5, "iterations": 3}
    assert (method.title, method.summary, method.depth) == ("Mine", "Solve it. And more.", "iterations")
    chosen = registry.with_settings(method, {"weight": "2"})
    y = A(blob(A))[None]
    assert torch.allclose(method.build(problem(A), chosen)(y, A), 6 * A.adjoint(y), rtol=1e-5)


def test_an_image_of_the_wrong_size_is_named():
    method = scipy.as_method("short", lambda A, y: np.zeros(5))
    with pytest.raises(ValueError, match=r"pixels of \(24, 24\), got an array of \(5,\)"):
        method.build(problem(A), method.settings)(A(blob(A))[None], A)


@pytest.mark.parametrize("name", ["pylops_cgls", "odl_landweber", "deepinv_tv", "astra_sart"])
def test_a_library_that_is_not_installed_is_a_row_that_says_so(name, monkeypatch):
    for library in ("pylops", "odl", "torchvision", "deepinv", "astra"):
        monkeypatch.setitem(sys.modules, library, None)
    method = example(name)
    other = RayTransform(ParallelBeam(8, evenly(3), 11))
    with pytest.raises(NotApplicable, match="pip install"):
        method.build(problem(other), method.settings)


def test_no_library_is_imported_before_it_is_used():
    for path in sorted((REPOSITORY / "recon_bench" / "adapters").glob("*.py")):
        top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name.partition(".")[0] for node in top if isinstance(node, ast.Import) for alias in node.names}
        assert not names & {"pylops", "pyproximal", "odl", "deepinv", "torchvision", "astra"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short(path):
    assert len([line for line in path.read_text().splitlines() if line.strip()]) <= 14


def test_a_network_without_anything_to_start_from_does_not_apply():
    method = networks.as_method("none", lambda channels: torch.nn.Identity(), [registry.imported("zero-filled")])
    with pytest.raises(NotApplicable, match="nothing to start from: needs Fourier data"):
        learned.untrained(method.network, problem(A), method.settings)


def test_a_function_operator_names_a_wrong_shape():
    twice = FunctionOperator((3,), (3,), lambda x: 2 * x, lambda y: 2 * y)
    assert_adjoint(twice)
    with pytest.raises(ValueError, match="expects"):
        twice(torch.ones(4))
