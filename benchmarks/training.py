"""Seconds and peak memory of one step of training: forward, backward and optimiser, of one image."""

import torch

from recon_bench import learned, registry


class Step:
    """The mean squared error of an image of zeros, from the network's first weights."""

    params = ("unet", "learned-primal-dual", "equilibrium")
    param_names = ("method",)
    repeat = (1, 5, 10.0)
    timeout = 300

    def setup(self, name: str) -> None:
        if name not in registry.methods():
            raise NotImplementedError(f"{name} came later")
        torch.manual_seed(0)
        problem, method = registry.task("ct-ellipses-30").problem(), registry.method(name)
        self.network = learned.untrained(method.network, problem, method.settings).train()
        self.data, self.A = problem.train[0].data[None], problem.operator
        self.optimiser = torch.optim.Adam(self.network.parameters())
        self.step()

    def step(self) -> None:
        self.optimiser.zero_grad()
        self.network(self.data, self.A).square().mean().backward()
        self.optimiser.step()

    def time_step(self, name: str) -> None:
        self.step()

    def peakmem_step(self, name: str) -> None:
        self.step()
