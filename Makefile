# make train     train on synthetic scenes, or on yours: IMAGES=folder MASKS=folder CLASSES=table EPOCHS=n
# make predict   map an image: IMAGE=img.tif
# make test      run the tests
# make bench     run the benchmarks
# make clean     remove what was generated: .venv, runs

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# A path that is there is one word, spaces and all; several, or a pattern, are the shell's to tell apart.
quoted = $(if $(shell test -e "$(1)" && echo one),"$(1)",$(1))

# Small settings for the synthetic scenes alone: five minutes on two cores. Your own data get train.py's defaults.
ifeq ($(strip $(IMAGES)$(MASKS)),)
DEMO = --size 150 --batch 4 --patience 99
EPOCHS ?= 36
endif

.PHONY: train predict test bench clean

train: .venv/ready
	$(BIN)/python train.py $(if $(IMAGES),--images $(call quoted,$(IMAGES))) \
	    $(if $(MASKS),--masks $(call quoted,$(MASKS))) $(if $(CLASSES),--classes $(call quoted,$(CLASSES))) \
	    $(if $(EPOCHS),--epochs $(EPOCHS)) $(DEMO) $(ARGS)

predict: .venv/ready
	$(BIN)/python predict.py $(call quoted,$(IMAGE)) $(ARGS)

test: .venv/ready-tests
	$(BIN)/python -m pytest -q $(ARGS)

bench: .venv/ready-tests
	set -e; for file in tests/bench/bench_*.py; do $(BIN)/python $$file; done

# Remade when the pins change; pip itself is quiet unless something goes wrong.
.venv/ready: requirements.txt
	@test -x $(BIN)/pip || { echo "making .venv (once; torch is large)"; $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/ready-tests: .venv/ready tests/requirements.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r tests/requirements.txt
	@touch $@

clean:
	rm -rf .venv runs
