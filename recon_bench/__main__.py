"""`python -m recon_bench`, which is `recon-bench`."""

import sys

from recon_bench.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
