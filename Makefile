# Land cover from satellite images. `make` alone prints this list.
#
# make train     train on synthetic scenes, or on yours: IMAGES=... MASKS=... CLASSES=... EPOCHS=...
# make predict   map an image: IMAGE=img.tif
# make test      run the tests
# make exercises show which of the ten exercises are solved: tests/exercises, ARGS=3 for one of them
# make lint      check style (ruff) and type hints (mypy)
# make bench     run the benchmarks
# make figures   draw the figures of the course; trains a network as `make train` does, once
# make soak      damaged rasters, kills, full disks, pairs of runs, strange files: nothing is lost
# make clean     remove what was generated: .venv and runs
#
# ARGS="..." is handed on to train.py, predict.py, pytest, the exercises, figures or trials of soak.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# A path that exists is one word, spaces and all. Several paths, or a pattern, are left to the shell.
quoted = $(if $(shell test -e "$(1)" && echo one),"$(1)",$(1))

# Small settings for the synthetic scenes: minutes on two cores. Your data get train.py's defaults.
ifeq ($(strip $(IMAGES)$(MASKS)),)
DEMO = --size 150 --batch 4 --patience 99
EPOCHS ?= 36
endif

.PHONY: help train predict test exercises lint bench figures soak clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

train: .venv/ready
	$(BIN)/python train.py $(if $(IMAGES),--images $(call quoted,$(IMAGES))) \
	    $(if $(MASKS),--masks $(call quoted,$(MASKS))) \
	    $(if $(CLASSES),--classes $(call quoted,$(CLASSES))) \
	    $(if $(EPOCHS),--epochs $(EPOCHS)) $(DEMO) $(ARGS)

predict: .venv/ready
	$(BIN)/python predict.py $(call quoted,$(IMAGE)) $(ARGS)

# Two processes share the files of tests. Each computes on one core.
test: .venv/ready-tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

# Exercises that are not solved yet, or wrong, are no failure.
exercises: .venv/ready
	@OMP_NUM_THREADS=1 $(BIN)/python tests/exercises/show.py $(ARGS)

lint: .venv/ready-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy train.py predict.py reproject.py data unet

bench: .venv/ready-tests
	set -e; for file in tests/bench/bench_*.py; do $(BIN)/python $$file; done

figures: .venv/ready
	$(BIN)/python tests/figures/make.py $(ARGS)

soak: .venv/ready-tests
	set -e; for file in tests/bench/soak_*.py; do $(BIN)/python $$file $(ARGS); done

# Made again when the pins change. pip prints nothing unless something goes wrong.
.venv/ready: requirements.txt
	@test -x $(BIN)/pip || { echo "making .venv (once; torch is large)"; $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/ready-tests: .venv/ready tests/requirements.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r tests/requirements.txt
	@touch $@

clean:
	rm -rf .venv runs
