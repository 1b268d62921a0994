# Everything a person does here. `make` alone lists it.

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python
PROTOS := $(shell find protos -name '*.proto' -o -name 'buf*.yaml' 2>/dev/null)

BASELINE_FORM := --exclude-source-info

.DEFAULT_GOAL := help
.PHONY: help run demo stop reset test faults bench bench-directory \
	bench-notifications kills model-notifications check format lint types imports \
	protos-check protos-baseline lock

help: ## This list
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use it

run: gen/.ok ## The whole suite on this machine, with a demo clinic; Ctrl-C stops all of it
	@$(RUN) -m deploy.local up

demo: gen/.ok ## A guided tour on a throw-away suite; with PEOPLE=dir DIALOGUES=file [COUNT=200] a replay
	@$(RUN) -m deploy.demo $(if $(PEOPLE),--people "$(PEOPLE)") \
		$(if $(DIALOGUES),--dialogues "$(DIALOGUES)") $(if $(COUNT),--count "$(COUNT)")

stop: .venv/.ok ## Stop what `make run` started elsewhere
	@$(RUN) -m deploy.local stop

reset: .venv/.ok ## Stop it and delete all of its data (.local/)
	@$(RUN) -m deploy.local reset

##@ Change it

test: gen/.ok ## Every test, on throw-away servers
	$(BIN)/pytest -n 2 --dist loadgroup

faults: gen/.ok ## Only the tests that kill, pause and cut
	$(BIN)/pytest tests/faults

bench: gen/.ok ## The figures of conversations, with their calibration; about ten minutes
	$(RUN) -m tests.load.bench

bench-directory: gen/.ok ## The figures of the directory, with theirs; about five minutes
	$(RUN) -m tests.load.bench_directory

bench-notifications: gen/.ok ## The figures of notifications, with theirs; about twenty minutes
	$(RUN) -m tests.load.bench_notifications

kills: gen/.ok ## Notifications killed at the edges of its states, 200 times or KILLS; about ten minutes
	$(RUN) -m tests.load.kills $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

model-notifications: gen/.ok ## 20,000 histories of messages and people, or HISTORIES, against a model
	MODEL_HISTORIES=$(or $(HISTORIES),20000) $(BIN)/pytest -n 2 \
		tests/properties/test_notifications_model.py

check: lint types imports protos-check ## All that can be said without running it

format: .venv/.ok ## Rewrite the code in the house format
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

lint: .venv/.ok ## Format and lint rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: gen/.ok ## mypy, strict
	$(BIN)/mypy

imports: gen/.ok ## Who may import whom
	$(BIN)/lint-imports

protos-check: gen/.ok ## Lint and format of the protos, and that nothing in them breaks a client
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code protos
	@$(BIN)/buf build -o - $(BASELINE_FORM) | $(BIN)/buf breaking -\#format=binpb --config buf.yaml \
		--against protos/baseline.binpb

# The contract that clients were promised, as it was first whole. It is renewed only when a break
# was announced and its old form is out of use; the commit says which break, and since when.
protos-baseline: gen/.ok ## Promise the contract as it now is: what was there before may then break
	$(BIN)/buf build -o protos/baseline.binpb $(BASELINE_FORM)

lock: .venv/.ok ## Resolve the dependencies anew (needs uv)
	@PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile --quiet --universal --generate-hashes \
		--extra dev pyproject.toml -o requirements.lock

# Set-up, done when something it depends on has changed.

.venv/.ok: requirements.lock scripts/bootstrap.py
	@$(PYTHON) scripts/bootstrap.py
	@touch $@

gen/.ok: .venv/.ok scripts/generate_protos.py $(PROTOS)
	@$(RUN) scripts/generate_protos.py
	@touch $@
