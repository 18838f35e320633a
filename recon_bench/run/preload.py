"""Imported once by the process from which cells are forked, so that a cell does not pay for imports."""

from recon_bench import registry

registry.tasks()
registry.methods()
registry.measurements()
