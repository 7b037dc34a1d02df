# mrp: `make demo` shows it, `make test` proves it. README.md says more.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
BREAK ?=

.PHONY: help demo build toolchain packages lint unit real lab test bench bench-packages

help:
	@echo 'make demo              build and provision a simulated machine, then keep serving (BREAK=tftp|bmc|http|answer-file|loop)'
	@echo 'make test              install what is missing, then everything: lint, tests, the real lab'
	@echo 'make bench             TFTP and IPMI, each beside its peers'
	@echo 'make lint unit real lab   the parts of make test'

toolchain:
	@command -v $(CARGO) >/dev/null || { echo 'No Rust toolchain: install one with rustup (https://rustup.rs) or your distribution, 1.95 or newer, then run make again.' >&2; exit 1; }
	@command -v cc >/dev/null || { echo 'No C compiler (SQLite needs one): install it, on Debian with: apt-get install gcc libc6-dev, then run make again.' >&2; exit 1; }

demo: toolchain
	$(CARGO) build --release --locked -p mrp-cli
	exec $(TARGET)/release/mrp demo $(if $(BREAK),--break $(BREAK))

build: toolchain
	$(CARGO) build --locked -p mrp-cli

packages:
	.ci/install-packages

lint: toolchain
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps

unit: toolchain
	$(CARGO) test --locked --workspace

# Against programs that are not ours: ipmi_sim, ipmitool, ipmipower, dnsmasq, tftp.
real: toolchain packages
	$(CARGO) test --locked -p mrp-bmc --test ipmi_sim --test tools
	$(CARGO) test --locked -p mrp-netboot --test real_tools

# QEMU machines with UEFI and BIOS, behind OpenIPMI's BMC, with dnsmasq, in network namespaces of their own.
lab: build packages
	python3 mrp-cli/tests/lab/lab.py --mrp $(TARGET)/debug/mrp

test: toolchain packages
	$(MAKE) lint
	$(MAKE) unit
	$(MAKE) real
	$(MAKE) lab

bench-packages:
	.ci/install-packages bench

bench: toolchain bench-packages
	$(CARGO) bench --locked -p benches
