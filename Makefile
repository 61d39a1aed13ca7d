# The two commands that matter: `make demo` and `make test`. Both build what they need and say so.
SHELL := /bin/bash
CARGO ?= cargo
# Everything that is built stays in cargo's target directory and in the testbed's cache (see CONTRIBUTING.md).
export RUST_BACKTRACE ?= 0

.PHONY: help demo test lint generate build clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## Build the operator
	$(CARGO) build --locked

demo: ## Show the main job on a real control plane (KEEP=1 stays up)
	$(CARGO) build --locked --package telemetry-operator --bin telemetry-operator --package testbed --bin demo
	$(CARGO) run --locked --quiet --package testbed --bin demo -- $(if $(KEEP),--keep)

test: ## Run every test, on the real API server, collector, Jaeger and Prometheus
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) run --locked --quiet -p testbed --bin testbed -- build
	$(CARGO) test --locked --workspace -- --test-threads=4

lint: ## rustfmt, clippy with warnings as errors, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet

generate: ## Write the files that are made from the code: CRD, RBAC, reference
	UPDATE=1 $(CARGO) test --locked --test it -- generated_files
	UPDATE=1 $(CARGO) test --locked --lib -- reference

clean: ## Remove what cargo built; the testbed's cache stays
	$(CARGO) clean
