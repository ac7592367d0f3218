# The front door of the repository. `make` lists the targets; CI runs `make verify`.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
ENV := $(CARGO) run --quiet --package datagate-env --

# Tools that are no part of Rust, by exact version; installed from crates.io where they are missing.
CARGO_DENY := cargo-deny@0.20.2
RELEASE_TOOLS := cargo-auditable@0.7.7 rust-audit-info@0.5.4 cargo-cyclonedx@0.5.9

VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
IMAGE := $(TARGET)/image/datagate-$(VERSION).oci.tar
# Without cargo-auditable the program in the image does not list its crates; `make release` insists on it.
AUDITABLE ?= $(if $(shell command -v cargo-auditable),auditable)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: check-tools ## See it work, end to end, on a real node where one can run and the image is made, else on an API server
	$(CARGO) build --quiet --package datagate --package datagate-env
	@DATAGATE_BIN=$(abspath $(TARGET))/debug examples/demo/start.sh $(abspath $(IMAGE))

.PHONY: test
test: check-tools ## Run all tests, those on a real API server included
	$(CARGO) test --workspace

.PHONY: verify
verify: check-tools ## Do what CI does: formatting, lints, docs, generated files, all tests, the chart
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --no-deps --workspace --exclude datagate-api
	@# Docs of API fields are text for `kubectl explain`, where brackets are YAML lists and no links.
	RUSTDOCFLAGS="--deny warnings --allow rustdoc::broken_intra_doc_links" $(CARGO) doc --no-deps --package datagate-api
	$(CARGO) test --workspace
	@$(MAKE) --no-print-directory deny verify-chart verify-examples demo
	@printf 'verified: all is well\n'

.PHONY: verify-chart
verify-chart: check-tools ## Lint the chart in each of its modes
	@helm=$$($(ENV) build | grep '/helm$$') && set -e && \
	for set in mode=Enforce mode=Observe webhook.url=https://datagate.example.com/validate; do \
		echo "helm lint charts/datagate --strict --set $$set"; \
		"$$helm" lint charts/datagate --strict --quiet --set "$$set"; \
	done

.PHONY: verify-examples
verify-examples: check-tools ## Hold the example policies to what they claim
	$(CARGO) build --quiet --package datagate
	@DATAGATE_BIN=$(abspath $(TARGET))/debug examples/check.sh

.PHONY: deny
deny: tools-$(CARGO_DENY) ## Hold licences, copies and origins of all crates to deny.toml
	$(CARGO) deny --workspace check --deny unmatched-skip --deny unnecessary-skip --deny license-not-encountered bans licenses sources

.PHONY: advisories
advisories: tools-$(CARGO_DENY) ## Look for known vulnerabilities in all crates; needs the internet
	$(CARGO) deny --workspace check advisories

.PHONY: release-tools
release-tools: $(RELEASE_TOOLS:%=tools-%) ## Install what a release is made with

tools-%:
	@$(CARGO) install --list | grep -q "^$(subst @, v,$*):" || $(CARGO) install --locked $*

.PHONY: sbom
sbom: release-tools ## Build the program as it is released, and list what it is made of
	@program=$$(.ci/build-release) && .ci/sbom "$$program" dist/datagate.cdx.json

.PHONY: release
release: check-tools release-tools ## Write what is released into dist/: docs/releasing.md
	@.ci/release

.PHONY: image
image: check-tools ## Write the image as an OCI archive, without a registry or a container tool
	@mkdir -p $(dir $(IMAGE)) && .ci/third-party-licenses > $(dir $(IMAGE))licenses.txt
	@program=$$(AUDITABLE=$(AUDITABLE) .ci/build-release) && $(ENV) image --name datagate:$(VERSION) --output $(IMAGE) \
		--with LICENSE --with $(dir $(IMAGE))licenses.txt \
		--label org.opencontainers.image.title=datagate \
		--label org.opencontainers.image.version=$(VERSION) \
		--label org.opencontainers.image.licenses=Apache-2.0 \
		--label "org.opencontainers.image.description=Keeps paused and opted-out data out of model training" \
		"$$program"

.PHONY: cluster
cluster: check-tools ## Start a real cluster of one node (Linux, as root), with the image if it was made, until Ctrl-C
	@$(ENV) cluster $(if $(wildcard $(IMAGE)),--image $(IMAGE))

.PHONY: e2e
e2e: image ## Install, use, upgrade, break and remove datagate on a real cluster of one node
	DATAGATE_E2E=short DATAGATE_IMAGE=$(abspath $(IMAGE)) $(CARGO) test --package datagate --test e2e

.PHONY: reliability
reliability: image ## The same with all repetitions of docs/reliability.md; writes the figures to target/reliability.json
	DATAGATE_E2E=long DATAGATE_IMAGE=$(abspath $(IMAGE)) $(CARGO) test --package datagate --test e2e

.PHONY: bench
bench: check-tools ## Run the benchmarks
	$(CARGO) bench --workspace --bench '*'

.PHONY: generate
generate: check-tools ## Write what is made from the code: CRDs, their copies in the chart, docs/reasons.md
	DATAGATE_UPDATE=1 $(CARGO) test --quiet --package datagate-api --test generated
	DATAGATE_UPDATE=1 $(CARGO) test --quiet --package datagate --test generated

.PHONY: update-cases
update-cases: check-tools ## Write the expectations of tests/cases anew; read the difference before you commit it
	DATAGATE_UPDATE=1 $(CARGO) test --quiet --package datagate --test cases

.PHONY: check-tools
check-tools: ## Say what has to be installed, if anything
	@missing=; \
	command -v $(CARGO) >/dev/null || { missing=1; echo "cargo is missing: install Rust 1.95 or newer (https://rustup.rs)"; }; \
	command -v cc >/dev/null || { missing=1; echo "cc is missing: install a C compiler (the TLS library is built with it)"; }; \
	command -v go >/dev/null || [ -n "$$KUBEBUILDER_ASSETS" ] || { missing=1; \
		echo "go is missing: install Go 1.26 or newer (https://go.dev/dl); the API server of the tests is built with it, once"; }; \
	[ -z "$$missing" ]
