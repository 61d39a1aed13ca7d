# The two commands that matter: `make demo` and `make test`. Both build what they need and say so.
SHELL := /bin/bash
CARGO ?= cargo
# Everything that is built stays in cargo's target directory and in the testbed's cache (see CONTRIBUTING.md).
export RUST_BACKTRACE ?= 0

CACHE := $(or $(TESTBED_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/telemetry-operator-testbed)
# Of every API server that `make test` starts: what the operator has asked for in the whole run.
test: export TESTBED_AUDIT_LOGS := $(abspath $(or $(CARGO_TARGET_DIR),target))/audit-logs
DENY := $(CACHE)/cargo-deny-0.20.2

.PHONY: help demo grafana test lint bench generate build clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## Build the operator
	$(CARGO) build --locked

demo: ## Show the main job on a real node, with an incident (needs root; KEEP=1 stays up)
	$(CARGO) build --locked --workspace --bins
	$(or $(CARGO_TARGET_DIR),target)/debug/demo $(if $(KEEP),--keep)

grafana: ## A real Grafana with the demo's dashboards and data sources, beside `make demo KEEP=1`; needs Docker
	docker compose -f $(or $(CARGO_TARGET_DIR),target)/grafana/compose.yaml up

test: ## Run every test, on the real API server, collector, Jaeger and Prometheus
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) run --locked --quiet -p testbed --bin testbed -- build
	rm -rf $(TESTBED_AUDIT_LOGS) && mkdir -p $(TESTBED_AUDIT_LOGS)
	$(CARGO) test --locked --workspace -- --test-threads=5 \
	&& $(CARGO) test --locked --test it -- --ignored every_right_was_used; result=$$?; \
	$(CARGO) run --locked --quiet -p testbed --bin testbed -- sweep; exit $$result

lint: $(DENY)/bin/cargo-deny ## rustfmt, clippy and rustdoc with warnings as errors, licences and bans
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	$(DENY)/bin/cargo-deny --log-level error check licenses bans sources

$(DENY)/bin/cargo-deny:
	@echo "installing cargo-deny 0.20.2, once (four minutes on two cores)"
	$(CARGO) install cargo-deny --version 0.20.2 --locked --quiet --root $(DENY)

bench: ## Measure what an operation of the telemetry library costs, and an injection a pod's creation
	$(CARGO) bench --locked --package telemetry
	$(CARGO) bench --locked --package telemetry-operator --bench admission

generate: ## Write the files that are made from the code: CRD, RBAC, reference
	UPDATE=1 $(CARGO) test --locked --test it -- generated_files
	UPDATE=1 $(CARGO) test --locked --lib -- reference

clean: ## Remove what cargo built; the testbed's cache stays
	$(CARGO) clean
