"""What the benchmarks of `benchmarks/` need besides asv: environments, steps beyond the noise, pages without a network.

No part of the package: it needs asv, and measures checkouts of the repository.
"""
