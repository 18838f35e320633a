"""The pages of the site, one module each, which exports ``PAGE``; see :mod:`recon_bench.site.page`."""
