"""Small cases across commits: is this commit slower, larger or worse than the last? Run by asv (``make asv``).

asv only knows lower-is-better, so quality is an error (NMSE), and it imports every file of this folder. One thread:
on a shared machine that repeats best. asv measures the checkout it stands in (``environment_type`` is "existing",
because an environment per commit would download torch for each), so results belong to a commit only where the
working tree is clean; ``asv show`` and ``asv compare`` print them.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and numpy are imported
