# mrp: `make demo` shows it, `make test` proves it. README.md says more.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
BREAK ?=

# What needs root runs under sudo where make does not run as root; cargo and the compiler never do.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -E env PATH=$$PATH)
HOST = $(shell $(CARGO) -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)
RUN_AS_ROOT = $(if $(SUDO),CARGO_TARGET_$(HOST)_RUNNER="$(SUDO)")

.PHONY: kea-hook kea-hook-debug kea dnsmasq kea-rates s3 help demo build toolchain packages root lint unit real lab api api-full lab-full lab-install test bench bench-packages

help:
	@echo 'make demo              build and provision a simulated machine, then keep serving (BREAK=tftp|bmc|http|answer-file|loop)'
	@echo 'make test              install what is missing, then everything: lint, tests, the real lab'
	@echo 'make kea-hook          target/libdhcp_mrp.so, the library for the Kea that is installed here'
	@echo 'make bench             TFTP, IPMI, sweeps of BMCs, consoles, plugins, HTTP requests and a boot storm, each beside its peers (BENCH="rest -- --only one-machine --db sqlite": a part)'
	@echo 'make lint unit real api kea dnsmasq lab   the parts of make test'
	@echo 'make kea-rates         exchanges a second of Kea alone and with the hook, with mrp up, down, hung and slow'
	@echo 'make lab-full          every firmware with dnsmasq, and whole installations on empty disks, in QEMU'
	@echo 'make lab-install       the Debian installer to its end, if the mirror of the distribution has all that it needs'
	@echo 'make api-full          schemathesis over the OpenAPI document for ten minutes a role, with another seed each time'

toolchain:
	@command -v $(CARGO) >/dev/null || { echo 'No Rust toolchain: install one with rustup (https://rustup.rs) or your distribution, 1.95 or newer, then run make again.' >&2; exit 1; }
	@command -v cc >/dev/null || { echo 'No C compiler (SQLite needs one): install it, on Debian with: apt-get install gcc libc6-dev, then run make again.' >&2; exit 1; }

demo: toolchain
	$(CARGO) build --release --locked -p mrp-cli
	exec $(TARGET)/release/mrp demo $(if $(BREAK),--break $(BREAK))

# The debug build that all tests share: always the whole workspace, so that nothing is compiled twice.
build: toolchain
	$(CARGO) test --locked --workspace --no-run

# The library that Kea loads, against the Kea that is installed: Rust decides, the C++ shim translates. A library serves
# the version of Kea that it was built against. KEA_LIBRARY names a static library that is there already.
KEA_LIBRARY ?= $(TARGET)/release/libmrp_dhcp_kea.a
KEA_SHIM := mrp-dhcp-kea/shim
KEA_INCLUDE ?= /usr/include/kea
kea-hook: toolchain
	@command -v $(CXX) >/dev/null || { echo 'No C++ compiler: install it, on Debian with: apt-get install g++, then run make again.' >&2; exit 1; }
	@[[ -e $(KEA_INCLUDE)/hooks/hooks.h ]] || { echo 'No headers of Kea in $(KEA_INCLUDE): install them, on Debian with: apt-get install kea-dev libboost-dev, or set KEA_INCLUDE.' >&2; exit 1; }
	$(if $(filter command% environment%,$(origin KEA_LIBRARY)),,$(CARGO) build --release --locked -p mrp-dhcp-kea)
	$(CXX) -std=c++17 -O2 -fPIC -Wall -Wextra -shared -Wl,-z,defs -Wl,--gc-sections -Wl,--version-script=$(KEA_SHIM)/exports.map \
	    -isystem $(KEA_INCLUDE) -idirafter $(KEA_SHIM)/missing -o $(TARGET)/libdhcp_mrp.so $(KEA_SHIM)/*.cc $(KEA_LIBRARY) \
	    -lkea-dhcpsrv -lkea-dhcp++ -lkea-hooks -lkea-log -lkea-util -lkea-cc -lkea-asiolink -lkea-exceptions -lpthread -ldl

# The same of the debug build, which all tests share.
kea-hook-debug: build packages
	$(MAKE) kea-hook KEA_LIBRARY="$$(ls -t $(TARGET)/debug/deps/libmrp_dhcp_kea-*.a | head -1)"

# Kea with the hook while mrp is up, killed, paused and talks nonsense, under perfdhcp's load, in a namespace of its own.
kea: kea-hook-debug root
	$(SUDO) python3 mrp-cli/tests/lab/kea_faults.py --mrp $(TARGET)/debug/mrp

# dnsmasq beside mrp in the same states; mrp hears of every lease once it is back.
dnsmasq: build packages root
	$(SUDO) python3 mrp-cli/tests/lab/dnsmasq_faults.py --mrp $(TARGET)/debug/mrp

# What the hook costs: more load than Kea can bear, with Kea alone in the same run.
kea-rates: toolchain packages root kea-hook
	$(CARGO) build --release --locked -p mrp-cli
	$(SUDO) python3 mrp-cli/tests/lab/kea_faults.py --mrp $(TARGET)/release/mrp --measure

packages:
	.ci/install-packages

root:
	@[[ -z '$(SUDO)' ]] || command -v sudo >/dev/null || { echo 'Root is needed for network namespaces and port 69, and there is no sudo: run make as root.' >&2; exit 1; }
	@[[ -z '$(SUDO)' ]] || echo 'Network namespaces and port 69 need root: sudo is used for the programs that make them.'

lint: toolchain
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps

unit: build
	$(CARGO) test --locked --workspace
	$(TARGET)/debug/examples/embed

# Against programs that are not ours: sushy-tools' Redfish, ipmi_sim, ipmitool, ipmipower, GRUB's parser, PostgreSQL, dnsmasq, tftp, atftp; cargo, for a new plugin.
real: build packages root
	$(CARGO) test --locked --workspace --test ipmi_sim --test tools --test real_loaders --test real_postgres --test real_cluster --test real_servers --test real_import --test real_replay --test real_plugin_new --test real_redfish
	$(RUN_AS_ROOT) $(CARGO) test --locked --workspace --test real_tftp --test real_dnsmasq --test real_observer

# Images in a bucket, against moto's S3 server from PyPI.
s3: toolchain packages
	$(CARGO) test --locked -p mrp-store --features s3 --test real_s3
	$(CARGO) test --locked -p mrp-cli --features s3 --test real_bucket

# QEMU machines behind OpenIPMI's BMC, in a network namespace of their own: with dnsmasq, and every firmware with Kea and our hook.
lab: build packages root kea-hook-debug
	$(SUDO) python3 mrp-cli/tests/lab/lab.py --mrp $(TARGET)/debug/mrp --only provision --only console --only debian-installer --firmware
	$(SUDO) python3 mrp-cli/tests/lab/lab.py --mrp $(TARGET)/debug/mrp --dhcp kea --only firmware

# What takes longer: the other firmwares with dnsmasq, and whole installations by debootstrap with UEFI and with BIOS.
lab-full: build root
	.ci/install-packages full
	$(SUDO) python3 mrp-cli/tests/lab/lab.py --mrp $(TARGET)/debug/mrp --only firmware --firmware http ipxe efi-ipxe arm64 --only installation

# The Debian installer to its end, from a partial mirror: it says first what the distribution's mirror does not have.
lab-install: build root
	.ci/install-packages full
	$(SUDO) python3 mrp-cli/tests/lab/lab.py --mrp $(TARGET)/debug/mrp --only debian-installation --firmware

# schemathesis, from PyPI, over the OpenAPI document. A seed repeats a run: `make test` has always the same one.
API_SECONDS ?= 100
SEED ?= 1457901973
api: build packages
	python3 mrp-cli/tests/api/api.py --mrp $(TARGET)/debug/mrp --farm $(TARGET)/debug/examples/sim_farm --seconds $(API_SECONDS) $(if $(SEED),--seed $(SEED))

api-full:
	$(MAKE) api API_SECONDS=600 SEED=

test: toolchain packages
	$(MAKE) lint
	$(MAKE) unit
	$(MAKE) real
	$(MAKE) api
	$(MAKE) kea
	$(MAKE) dnsmasq
	$(MAKE) lab

bench-packages:
	.ci/install-packages bench

# The peers tftpd-hpa, atftpd and nginx are unpacked, not installed.
bench: toolchain bench-packages root
	$(CARGO) build --release --locked --workspace --bins --examples
	export PATH="$(CURDIR)/target/lab/packages/usr/sbin:$$PATH"; $(RUN_AS_ROOT) $(CARGO) bench --locked --workspace --bench $(or $(BENCH),tftp --bench ipmi --bench sweep --bench console --bench plugin --bench rest --bench storm)
