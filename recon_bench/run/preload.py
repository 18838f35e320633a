"""Imported once by the process from which cells are forked, so that a cell does not pay for imports."""

import gc

from recon_bench import registry

registry.tasks()
registry.methods()
registry.measurements()
gc.collect()
gc.freeze()  # what was imported is never looked through again, in whose copies that would copy all memory
