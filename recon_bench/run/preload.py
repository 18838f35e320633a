"""Imported once by the process from which cells are forked, so that a cell does not pay for imports.

What a cell that was killed leaves behind becomes a child of it, see :func:`recon_bench.processes.end`.
"""

import gc
import warnings

from recon_bench import processes, registry

processes.adopt_orphans()
warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")  # an orphan's
registry.tasks()
registry.methods()
registry.measurements()
gc.collect()
gc.freeze()  # what was imported is never looked through again, in whose copies that would copy all memory
