# `make` alone prints the verbs. Everything needs only Python 3.11 to 3.13 and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
LOCKED := --no-deps --require-hashes --requirement requirements.lock
ENGINE ?= $(notdir $(or $(shell command -v podman),$(shell command -v docker),docker))
IMAGE ?= banditloop:$(shell git rev-parse --short=12 HEAD)

help:  ## print the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## install everything into .venv

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11 to 3.13 is needed; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 2; }
	@echo "Setting up .venv: about 150 packages, TensorFlow among them. This takes a minute or two, once."
	$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement .venv/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --system-certs --compile-bytecode $(LOCKED) \
		|| $(BIN)/python -m pip install --quiet $(LOCKED)  # where only pip knows the package index
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)  ## run the whole loop on real ratings, live, and write its learning curve to build/demo
	rm -rf build/loop build/demo
	$(BIN)/banditloop loop --output build/demo

demo-cartpole: $(READY)  ## learn to balance a pole from logged episodes, live, and write the curve to build/demo-cartpole
	rm -rf build/cartpole build/demo-cartpole
	$(BIN)/banditloop loop -c pipelines/configs/cartpole.toml --interactions 3300 --rounds 2 --users 60 \
		--output build/demo-cartpole

demo-newsvendor: $(READY)  ## learn orders of stock in simulation by several learning rates, and serve the policy
	rm -rf build/newsvendor build/demo-newsvendor
	$(BIN)/banditloop tune -c pipelines/configs/newsvendor.toml --output build/demo-newsvendor/learning-rates
	$(BIN)/banditloop loop -c pipelines/configs/newsvendor.toml --rounds 3 --users 400 --output build/demo-newsvendor

NEEDS_MORE := slow or cloud or container or browser

test: test-local  ## run all tests: units first, then those that need this machine only, then the rest
	$(BIN)/python -m pytest -m "$(NEEDS_MORE)"

test-fast: $(READY)  ## run the unit tests, in under a minute
	$(BIN)/python -m pytest tests/unit -n auto --dist worksteal -m "not ($(NEEDS_MORE))"

test-local: test-fast  ## run all but slow tests and those of clouds, containers and the browser, in about five minutes
	$(BIN)/python -m pytest --ignore tests/unit -m "not ($(NEEDS_MORE))"

test-cloud: $(READY)  ## run those of Google Cloud and containers, on emulators that install and start themselves
	$(BIN)/python -m pytest -m "cloud or container"

check: $(READY)  ## lint: format, style, types, the ladder of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## run every benchmark; rows go to build/bench.json
	$(BIN)/python -m tests.benchmarks

bench-%: $(READY)
	$(BIN)/python -m tests.benchmarks $*

READ_PACKAGES := import sys; from banditloop.rl_core.config import Config; print(*Config.load(sys.argv[1]).image.packages)
PACKAGES = $(if $(CONFIG),$(shell $(BIN)/python -c '$(READ_PACKAGES)' $(CONFIG)))

BASE ?= $(shell sed -n 's/^ARG BASE=//p' components/Dockerfile)
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse HEAD)
CACHE = $(shell echo '$(IMAGE)' | sed 's/:[^:/]*$$//'):build

image:  ## build the image of components, predictor and functions: IMAGE=host/name:tag ENGINE=podman, docker or gcloud CONFIG=loop.toml
ifeq ($(ENGINE),gcloud)
	gcloud builds submit --config components/cloudbuild.yaml --substitutions \
		'^;^_IMAGE=$(IMAGE);_CACHE=$(CACHE);_BASE=$(BASE);_VERSION=$(VERSION);_REVISION=$(REVISION);_PACKAGES=$(PACKAGES)' .
else
	$(ENGINE) build --platform linux/amd64 --file components/Dockerfile --tag $(IMAGE) --build-arg BASE=$(BASE) \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg 'PACKAGES=$(PACKAGES)' $(BUILD) .
endif

docs: $(READY)  ## write the generated sections of docs/reference anew
	$(BIN)/python -m tests.docs

compile: $(READY)  ## compile the pipelines and the components to build
	$(BIN)/banditloop compile
	$(BIN)/banditloop export-components

RESOLVE := uv pip compile pyproject.toml --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate --quiet

IMAGE_EXTRAS := local serve pipelines train evaluate tune google
EXTRAS := $(IMAGE_EXTRAS) environments testing  # all but ray, of 240 MB, which tests install by themselves

lock:  ## resolve requirements.lock anew, and from it the image's, with a smaller TensorFlow, and the functions' (needs uv)
	$(RESOLVE) --universal $(EXTRAS:%=--extra %) --group dev --upgrade -o requirements.lock
	printf '%s; sys_platform == "none"\n' tensorflow libclang | $(RESOLVE) --python-platform x86_64-manylinux_2_28 \
		$(IMAGE_EXTRAS:%=--extra %) \
		--group agents --group image --constraints requirements.lock --overrides /dev/stdin \
		-o components/requirements.lock
	$(RESOLVE) --python-platform x86_64-manylinux_2_28 --extra functions --constraints requirements.lock \
		-o functions/requirements.lock

clean:  ## remove everything made, .venv included
	rm -rf .venv build dist *.egg-info

.PHONY: help setup demo demo-cartpole demo-newsvendor test test-fast test-local test-cloud check format bench image docs compile lock clean
