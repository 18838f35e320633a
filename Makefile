.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
BUDGET ?= 600
QUICK := build/quick
DEVICE ?= cpu
BASE ?= origin/main
MINUTES ?=
RECIPE ?=

# methods that have no weights on most tasks, of which memory is measured; and those that are compared in memory at
# 512 x 512 pixels, where 80 steps of an unrolled network take 10 GiB or more (extrapolated from 10): what does not fit
# is a row that says so
UNTRAINED := convex-equilibrium de-admm de-grad de-prox reversible unrolled-gradient-checkpointed \
  unrolled-gradient-segments
DEEP := landweber tv-isotropic unrolled-gradient unrolled-gradient-checkpointed unrolled-gradient-segments reversible \
  learned-primal-dual equilibrium equilibrium-unrolled de-prox

# methods that are attacked and moved to other operators where all would take days
MAIN := fbp zero-filled tikhonov tsvd landweber tv-isotropic tv-isotropic-nonneg unet learned-gradient learned-primal \
  learned-primal-dual learned-pdhg modl unrolled-gradient equilibrium equilibrium-unrolled

# method:task[:seed[:images]], in order of worth
CT := ct-ellipses-30 ct-shepp-logan-30 ct-head-50 ct-head-143 ct-ellipses-50 ct-ellipses-143
MRI := mri-brain-4x mri-brain-8x
TRAININGS := \
  $(foreach task,$(CT),learned-primal-dual:$(task) unet:$(task)) $(foreach task,$(MRI),modl:$(task) unet:$(task)) \
  $(foreach task,ct-head-50 ct-head-143,unet-phantoms:$(task) learned-primal-dual-phantoms:$(task)) \
  $(foreach task,$(CT) $(MRI),learned-gradient:$(task) learned-primal:$(task)) \
  $(foreach seed,1 2,unet:ct-ellipses-30:$(seed) learned-gradient:ct-ellipses-30:$(seed) learned-primal-dual:ct-ellipses-30:$(seed)) \
  $(foreach images,32 320 3200 32000,unet:ct-ellipses-30:0:$(images) learned-primal-dual:ct-ellipses-30:0:$(images)) \
  $(foreach task,$(CT) $(MRI),resnet:$(task) unrolled-gradient:$(task) unrolled-gradient-tied:$(task) unrolled-ista:$(task) unrolled-ista-tied:$(task)) \
  $(foreach task,$(CT),learned-pdhg:$(task) modl:$(task))

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

.venv/run: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "recon_bench needs Python 3.11 or newer; say which: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[astra]'
	touch $@

.venv/dev: .venv/run
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

setup: .venv/run  ## install what runs need into .venv

browser: .venv/dev
	@$(BIN)/python -m tests.chromium || $(BIN)/playwright install chromium \
	  || { apt-get update -qq && apt-get install -y -qq chromium; } \
	  || echo "No Chromium: the tests that open the site in a browser will say so."

run: .venv/run  ## quick suite: a few images of every task, then the site, then the ranking
	$(BIN)/recon-bench run --rules quick --budget $(BUDGET) --jobs $(JOBS) --results $(QUICK)/results \
	  --measurements accuracy runtime training seeds data-efficiency
	$(BIN)/recon-bench run --rules quick --budget $(BUDGET) --tasks ct-ellipses-30 --measurements pictures --jobs $(JOBS) \
	  --results $(QUICK)/results
	@$(BIN)/recon-bench site --results $(QUICK)/results --out $(QUICK)/site
	@$(BIN)/recon-bench board --rules quick --results $(QUICK)/results --columns psnr ssim
	@echo "Open $(CURDIR)/$(QUICK)/site/index.html; make site renders the committed full results."

run-all: .venv/run  ## full suite into results/ (hours on two cores; goes on where it stopped)
	$(BIN)/recon-bench run --measurements tuning accuracy conduct transfer small-features pictures training seeds data-efficiency --jobs $(JOBS)
	$(BIN)/recon-bench run --measurements runtime
	$(BIN)/recon-bench run --tasks ct-ellipses-30 --measurements iterations fixed-point backward-rules memory memory-size
	$(BIN)/recon-bench run --tasks ct-ellipses-30 --methods $(UNTRAINED) --measurements memory memory-size
	$(BIN)/recon-bench run --tasks ct-ellipses-50 --methods $(DEEP) --measurements memory
	$(BIN)/recon-bench run --tasks ct-ellipses-30 --measurements robustness corruptions sampling shift adaptation --jobs $(JOBS)
	$(BIN)/recon-bench run --tasks ct-head-50 mri-brain-4x --methods $(MAIN) --measurements robustness corruptions shift adaptation --jobs $(JOBS)
	$(BIN)/recon-bench run --tasks ct-head-50 mri-brain-4x --methods $(MAIN) --measurements sampling
	$(MAKE) site

train-all: .venv/run  ## train the networks at paper scale, in order of worth (DEVICE=cuda, MINUTES for each, RECIPE; resumes)
	@for item in $(TRAININGS); do \
	  set -- $$(echo $$item | tr : ' '); \
	  $(BIN)/recon-bench train $$1 --task $$2 --seed $${3:-0} --images $${4:-0} --device $(DEVICE) $(if $(MINUTES),--minutes $(MINUTES)) $(addprefix --recipe ,$(RECIPE)) --resume || failed="$$failed $$item"; \
	done; test -z "$$failed" || { echo "Not trained:$$failed"; exit 1; }

site: .venv/run  ## render results/ to build/site
	$(BIN)/recon-bench site --out build/site
	@echo "Open $(CURDIR)/build/site/index.html"

picture: .venv/dev browser site  ## take docs/leaderboard.png anew
	$(BIN)/python -m tests.picture

test: .venv/dev browser check  ## lint, types and all tests
	$(BIN)/pytest

test-weights: .venv/dev  ## compare all weights that come with the project with what their cards say (slow)
	$(BIN)/pytest tests/test_weights.py -m slow

pr: .venv/run  ## what a pull request is judged by, of methods that changed since BASE: try, a quick run, diff
	@mkdir -p build/pr
	@set -e; base=$$(git merge-base $(BASE) HEAD); \
	files=$$(git diff --name-only --diff-filter=d $$base -- 'baselines/*.py' ':!baselines/__init__.py'; \
	  git ls-files --others --exclude-standard -- 'baselines/*.py'); \
	for file in $$files; do $(BIN)/recon-bench try $$file; done; \
	if test -n "$$files"; then \
	  names=$$($(BIN)/python -c 'import sys; from recon_bench import registry; print(*(n for f in sys.argv[1:] for n in registry.given(f)))' $$files); \
	  $(BIN)/recon-bench run --rules quick --methods $$names --measurements accuracy --jobs $(JOBS) --results build/pr/results; \
	fi; \
	$(BIN)/recon-bench diff $$base results > build/pr/diff.md || status=1; cat build/pr/diff.md; exit $${status:-0}

check: .venv/dev  ## lint, types, and every committed result file against the schema
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/recon-bench check

perf: .venv/dev  ## compare our operators with ASTRA, scikit-image and deepinv, as ratios in one run
	$(BIN)/pytest tests/perf --benchmark-only

asv: .venv/dev  ## measure the current commit with asv, compare it with the last release or commit measured here
	$(BIN)/asv machine --yes
	$(BIN)/asv run --skip-existing-successful HEAD^!
	$(BIN)/python -m regressions.steps

asv-pages: .venv/dev  ## publish what asv measured, without anything from other servers; make site takes it in (npm)
	$(BIN)/asv publish
	$(BIN)/python -m regressions.pages build/asv

test-slurm: .venv/dev  ## runs and trainings on a Slurm that the tests start (slow; Debian packages slurmctld slurmd munge)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cluster]'
	$(BIN)/pytest tests/cluster -m slow

test-asv: .venv/dev  ## a slowed-down and an accuracy-losing commit are caught by asv (slow)
	$(BIN)/pytest tests/test_regressions.py -m slow

clean:  ## remove what was built here, not the results
	rm -rf build .venv

.PHONY: help setup browser run run-all train-all site picture test test-weights test-slurm test-asv pr check perf asv asv-pages clean
