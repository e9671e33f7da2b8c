# Everything runs in VENV, which the first target that needs it creates.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
RUN ?= runs/demo
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
TRAIN := $(VENV)/train
FIELD := $(VENV)-field
# The tensors here are small: a second thread of PyTorch would only wait, and keep a core busy.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo test strict avx2 matrix lint format coverage bench curves popgym pendulum ablation silent-bugs figures verify docs serve site-test field-test dist dist-test clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create VENV (.venv) with PYTHON (python3), and install all that is needed

demo: $(TRAIN) ## Train a recurrent policy, evaluate it, and show the contract at work
	$(BIN)/tamiyo-rl train $(RUN) --overwrite
	$(BIN)/tamiyo-rl evaluate $(RUN)
	$(BIN)/tamiyo-rl tour

test: docs ## Run every example and every test, the built site too; DEVICES=cpu,cuda demands both
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(if $(DEVICES),--devices $(DEVICES))
	$(BIN)/python -m pytest --quiet --site site $(if $(DEVICES),--devices $(DEVICES))

strict: $(INSTALLED) ## Run the examples on a second device, built here, where mixing devices is an error
	$(BIN)/python -m pytest --devices strict README.md docs src \
		$(wildcard tests/*/test_placement.py) tests/strict_device

avx2: $(INSTALLED) ## Run what touches precision as on a CPU without AVX-512
	ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --devices cpu \
		README.md docs src tests/recurrent/test_precision.py tests/test_contract_settings.py \
		tests/test_contract_clauses.py tests/test_crossings.py tests/training/ppo/test_trainer.py
	ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/tamiyo-rl verify

matrix: ## Run the tests with each Python and PyTorch; PAIRS="3.12/2.13.0 3.11/2.9.1" chooses
	$(PYTHON) tools/matrix.py $(PAIRS)

site-test: docs ## Click through the site in a real browser, and run what its buttons copy
	$(BIN)/python -m pytest -m browser --site site tests/site

field-test: $(FIELD)/installed ## Train with other libraries under the tools, and write the record and the page
	$(FIELD)/bin/python -m pytest --plug-in --devices cpu docs/plug-in src/tamiyo_rl/integrations
	$(FIELD)/bin/python -m pytest -m field tests/field
	$(FIELD)/bin/python -m tests.field
	$(FIELD)/bin/python -m tests.field.contract

dist: $(INSTALLED) ## Build the wheel and the sdist into dist/
	rm -rf dist
	$(BIN)/python -m build

dist-test: dist ## Install what was built into empty places, and use it there
	$(BIN)/python -m pytest -m dist tests/test_distribution.py

lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/actionlint
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

coverage: $(INSTALLED) ## Require that documentation and tests cover the contract, the LSTM and the policy
	$(BIN)/coverage run -m pytest --devices cpu README.md docs src \
		tests/contract tests/policy tests/recurrent
	$(BIN)/coverage report --fail-under=100

bench: $(INSTALLED) ## Time the training step and the rollout against peers, and write the page
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[bench]'
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks update --threads 2

curves: $(INSTALLED) ## Train four mistakes beside correct training, and draw the learning curves
	$(BIN)/python -m benchmarks.curves

popgym: $(INSTALLED) ## Train the runs of POPGym that the record lacks, and write the page
	$(BIN)/python -m benchmarks.popgym

pendulum: $(INSTALLED) ## Train the runs with continuous actions that the record lacks, and write the page
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[bench]'
	$(BIN)/python -m benchmarks.pendulum

ablation: $(INSTALLED) ## Train the variants of the ablation that the record lacks, and write the page
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[bench]'
	$(BIN)/python -m benchmarks.ablation

silent-bugs: $(INSTALLED) ## Run the silent mistakes under our tools and other packages, and write the page
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[bench]'
	$(BIN)/python -m benchmarks.silent_bugs

figures: $(INSTALLED) ## Draw the figures of the site from the records
	$(BIN)/python -m benchmarks.curves.figures
	$(BIN)/python -m tools.curves
	$(BIN)/python -m benchmarks.speed.figures
	$(BIN)/python -m benchmarks.ablation.page
	$(BIN)/python -m benchmarks.silent_bugs.page

verify: $(INSTALLED) ## Run the catalogue of crossings here, and write the pages from the records
	$(BIN)/tamiyo-rl verify
	$(BIN)/python -m tools.crossings docs/reference

docs: $(INSTALLED) ## Build the site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python -m tools.site site

serve: $(INSTALLED) ## Serve the site while writing it
	$(BIN)/mkdocs serve

clean: ## Remove what the other targets made, but not runs/
	rm -rf .venv .venv-field site site-test dist tests/strict_device/build .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(INSTALLED): EXTRA = dev
$(TRAIN): EXTRA = train
$(INSTALLED) $(TRAIN): pyproject.toml $(CONSTRAINTS)
	@echo "Installing tamiyo-rl[$(EXTRA)] into $(VENV)/; PyTorch is large, so that this may take minutes"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[$(EXTRA)]'
	@touch $@ $(TRAIN)  # dev holds what train does

$(FIELD)/installed: pyproject.toml constraints-field.txt
	@echo "Installing tamiyo-rl[field] into $(FIELD)/; Ray and PyTorch are large, so that this may take minutes"
	@$(PYTHON) -m venv $(FIELD)
	@$(FIELD)/bin/pip install --quiet --constraint constraints-field.txt --editable '.[field]'
	@touch $@
