"""Rounding trained weights so that what the network gives changes least, to keep them in few bits.

Rounding every number to the nearest wastes bits, for two reasons:

- Neighbouring pixels and channels are alike, so that the errors of a kernel's numbers add up or cancel. Here a kernel's
  numbers are rounded one after the other, and the later ones make up for the error that the earlier ones cause on the
  inputs the layer really sees: Babai's nearest plane, used for language models by Frantar et al. (GPTQ, ICLR 2023).
- Some layers and channels matter more than others. A channel whose errors reach the image enlarged by a gain gets
  steps in proportion to 1 / gain: for a given number of bits that has the least squared error of the image.

Both need a few passes of the network over inputs like those it was trained on, and nothing of the truth: what is
approached is the network's own output. The kernels of convolutions are rounded; whatever else there is stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from recon_bench import quantised
from recon_bench.quantised import Rounded

SMALL = 1024  # a kernel of fewer numbers stays as it is: first and last layers, which matter much and weigh nothing
WINDOW = 48  # pixels of each side of the part of a layer's input that is looked at
DAMPING = 1e-3  # of the mean energy of an input, added to that of each: few samples know little of many inputs

Pass = Callable[[], Tensor]
Convolution = nn.Conv2d | nn.ConvTranspose2d
Hook = Callable[[str, Convolution, Tensor, Tensor], Tensor | None]


@dataclass(frozen=True)
class Layer:
    """The kernel of a convolution as a ``matrix`` (outputs, inputs), one row for each number that leaves a position.

    ``feedback``: upper triangular (inputs, inputs), by which a rounding error is passed on to the inputs after it.
    ``steps``: (outputs,) or one for all, right up to a factor that all layers share. All in float64, on the CPU.
    """

    matrix: Tensor
    feedback: Tensor
    steps: Tensor
    shape: torch.Size

    @property
    def transposed(self) -> bool:
        """Whether the first dimension of the kernel is that of its inputs: they share one step."""
        return self.steps.numel() == 1

    def spread(self) -> Tensor:
        """Root mean square of each row; of all of them where they share one step."""
        power = self.matrix.square().mean(1)
        return (power.mean(0, keepdim=True) if self.transposed else power).sqrt().clamp_min(1e-9)

    def rounded(self, factor: float) -> Rounded:
        """In ``factor`` times ``steps``, but no row in such large ones that all of it would be lost."""
        wanted = self.steps * factor
        if not self.transposed:
            wanted = torch.minimum(wanted, self.matrix.abs().amax(1).clamp_min(1e-9) / 2)
        codes = quantised.nearest_codes(wanted)
        integers = nearest_plane(self.matrix / quantised.steps(codes)[:, None], self.feedback).to(torch.int32)
        integers = (integers.T if self.transposed else integers).reshape(self.shape)
        return Rounded(integers, codes.expand(self.shape[0]).contiguous())


@dataclass(frozen=True)
class Rounding:
    """The layers of a network that can be rounded, by the names of their kernels; made once, for any number of bits."""

    layers: Mapping[str, Layer]

    def rounded(self, bits: float) -> dict[str, Rounded]:
        """The kernels in about ``bits`` bits a number, on average; more for those that matter more."""
        if not self.layers:
            return {}
        sizes = torch.tensor([layer.matrix.numel() for layer in self.layers.values()], dtype=torch.float64)
        usual = torch.stack([(layer.steps / layer.spread()).log2().mean() for layer in self.layers.values()])
        factor = float(torch.exp2(quantised.ENTROPY - bits - (usual * sizes).sum() / sizes.sum()))
        return {name: layer.rounded(factor) for name, layer in self.layers.items()}


def study(network: nn.Module, passes: Sequence[Pass]) -> Rounding:
    """What there is to know of ``network`` from a few ``passes``, each a call that gives an image."""
    large = {name: layer for name, layer in convolutions(network).items() if layer.weight.numel() >= SMALL}
    if not large:
        return Rounding({})
    energy, gain = energies(network, passes), gains(network, passes[:4])
    known = {name: layer for name, layer in large.items() if _finite(energy.get(name)) and _finite(gain.get(name))}
    return Rounding({f"{name}.weight": _layer(layer, energy[name], gain[name]) for name, layer in known.items()})


def convolutions(network: nn.Module) -> dict[str, Convolution]:
    """The convolutions of a network that are matrices for each position, by name."""
    found = {name: layer for name, layer in network.named_modules() if isinstance(layer, Convolution)}
    return {name: layer for name, layer in found.items() if layer.groups == 1 and _is_matrix(layer)}


@torch.no_grad()
def energies(network: nn.Module, passes: Sequence[Pass]) -> dict[str, Tensor]:
    """Mean products of the inputs of each convolution, (inputs, inputs) in float64 on the CPU, over all its calls."""
    total: dict[str, Tensor] = {}
    count: dict[str, int] = {}
    generator = torch.Generator().manual_seed(0)

    def look(name: str, layer: Convolution, x: Tensor, _: Tensor) -> None:
        inputs = columns(layer, _window(_bordered(layer, x), generator)).float()
        total[name] = total.get(name, 0) + (inputs @ inputs.T).double().cpu()
        count[name] = count.get(name, 0) + inputs.shape[1]

    with _hooked(network, look):
        for call in passes:
            call()
    return {name: total[name] / count[name] for name in total}


def gains(network: nn.Module, passes: Sequence[Pass]) -> dict[str, Tensor]:
    """Squared gain from white noise on each output channel of each convolution to the image: (channels,), float64.

    The transposed Jacobian maps random signs to a vector whose expected square is that gain, so that one backward pass
    tells it for all layers.
    """
    noise: list[tuple[str, Tensor]] = []
    generator = torch.Generator().manual_seed(0)

    def add(name: str, layer: Convolution, _: Tensor, out: Tensor) -> Tensor:
        noise.append((name, torch.zeros_like(out).requires_grad_()))
        return out + noise[-1][1]

    found: dict[str, Tensor] = {}
    with _hooked(network, add), torch.enable_grad():
        for call in passes:
            noise.clear()
            image = call()
            if not noise:  # none of the network's convolutions was called as a module
                continue
            parts = torch.view_as_real(image) if image.is_complex() else image
            signs = torch.randint(0, 2, parts.shape, generator=generator).to(parts) * 2 - 1
            gradients = torch.autograd.grad((signs * parts).sum(), [zero for _, zero in noise], allow_unused=True)
            for (name, _), gradient in zip(noise, gradients):
                if gradient is not None:
                    found[name] = found.get(name, 0) + gradient.double().square().sum((0, 2, 3)).cpu()
    return found


def columns(layer: Convolution, x: Tensor) -> Tensor:
    """What the matrix of the layer is applied to, ``(inputs, positions)``, for images with their borders."""
    if isinstance(layer, nn.Conv2d):
        x = functional.unfold(x, layer.kernel_size, layer.dilation, stride=layer.stride)
    return x.movedim(1, 0).flatten(1)


def nearest_plane(matrix: Tensor, feedback: Tensor, block: int = 64) -> Tensor:
    """Integers ``(outputs, inputs)`` near ``matrix``, rounded from the first input to the last with error feedback."""
    rest, integers = matrix.clone(), torch.empty_like(matrix)
    for start in range(0, matrix.shape[1], block):
        end = min(start + block, matrix.shape[1])
        now, errors = rest[:, start:end], torch.empty_like(rest[:, start:end])
        for i, onto in enumerate(feedback[start:end, start:end]):
            integers[:, start + i] = now[:, i].round()
            errors[:, i] = (now[:, i] - integers[:, start + i]) / onto[i]
            now[:, i + 1 :] -= errors[:, i, None] * onto[i + 1 :]
        rest[:, end:] -= errors @ feedback[start:end, end:]
    return integers


def _layer(layer: Convolution, energy: Tensor, gain: Tensor) -> Layer:
    """The steps are those of least error for a number of bits: with squared error step² volume gain² / 12 of a row, and
    log2(step) bits saved for each of its numbers, the squared steps go with 1 / (volume gain²)."""
    weight = layer.weight.detach().cpu().double()
    feedback = _feedback(energy)
    volume = feedback.diagonal().square().reciprocal().mean()
    gain = gain.clamp_min(1e-30)
    if isinstance(layer, nn.ConvTranspose2d):
        matrix, gain = weight.flatten(1).T.contiguous(), gain.mean(0, keepdim=True)
    else:
        matrix = weight.flatten(1)
    return Layer(matrix, feedback, (volume * gain).rsqrt(), layer.weight.shape)


def _feedback(energy: Tensor) -> Tensor:
    """Upper Cholesky factor of the inverse of ``energy``, which is damped first."""
    level = DAMPING * energy.diagonal().mean() + 1e-12
    lower = torch.linalg.cholesky(energy + level * torch.eye(len(energy), dtype=energy.dtype))
    return torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)


def _finite(tensor: Tensor | None) -> bool:
    """Whether there is one, of finite numbers."""
    return tensor is not None and bool(tensor.isfinite().all())


def _is_matrix(layer: Convolution) -> bool:
    """Whether every position of the output is one matrix times a part of the input, with no overlap if transposed."""
    if isinstance(layer, nn.Conv2d):
        return True
    return layer.stride == layer.kernel_size and not any((*layer.padding, *layer.output_padding))


def _bordered(layer: Convolution, x: Tensor) -> Tensor:
    """``x`` with the zeros that the layer sees around it."""
    if isinstance(layer, nn.ConvTranspose2d) or layer.padding == "valid":
        return x
    if isinstance(layer.padding, str):
        rows, columns = (n // 2 for n in layer.kernel_size)
    else:
        rows, columns = layer.padding
    return functional.pad(x, (columns, columns, rows, rows))


def _window(x: Tensor, generator: torch.Generator) -> Tensor:
    """A random part of images ``(batch, channels, rows, columns)``, as large as ``WINDOW`` in each direction."""
    for axis in (-2, -1):
        length = min(WINDOW, x.shape[axis])
        start = int(torch.randint(x.shape[axis] - length + 1, (1,), generator=generator))
        x = x.narrow(axis, start, length)
    return x


@contextlib.contextmanager
def _hooked(network: nn.Module, hook: Hook) -> Iterator[None]:
    """Call ``hook(name, layer, input, output)`` after each convolution; what it gives replaces the output."""

    def told(name: str, layer: Convolution) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
        return lambda _, inputs, output: hook(name, layer, inputs[0], output)

    handles = [layer.register_forward_hook(told(name, layer)) for name, layer in convolutions(network).items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
