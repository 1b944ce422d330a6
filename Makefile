# Two commands do all the set-up on a fresh Debian 12 with a Rust toolchain:
#   make demo    runs agent and aggregators on this very host and says where to look
#   make test    installs what the tests talk to and runs everything
# DEMO_SECONDS=n make demo stops by itself and fails if anything it promised did not arrive.

SHELL = /bin/bash
TOOLS = $(CURDIR)/target/tools
export PATH := $(TOOLS)/bin:$(PATH)
export CARGO_TERM_COLOR ?= auto
FUZZ_SECONDS ?= 0

.PHONY: help build deb demo test check bench fuzz clean

help:
	@sed -n 's/^#   //p' Makefile; echo '  make deb     Debian packages of agent, aggregator and musterctl in target/deb'; echo '  make check   formatting, lints, licences, advisories, documentation'; echo '  make bench   speed beside rsyslog and node_exporter, as ratios'

build:
	tests/setup.sh build
	cargo build --release --workspace --bins --locked

# DEB_ARCH=arm64 cross-builds. DEB_VERSION_SUFFIX=+1 and other settings: see packaging/deb.sh.
deb:
	tests/setup.sh deb
	cargo build --release --workspace --bins --locked
ifeq ($(DEB_ARCH),arm64)
	tests/setup.sh arm64
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
		cargo build --release --workspace --bins --locked --target aarch64-unknown-linux-gnu
endif
	packaging/deb.sh

demo: build
	target/release/demo

test:
	tests/setup.sh test
	cargo build --workspace --bins --locked
	tests/run.sh

check:
	tests/setup.sh check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	tests/deny.sh
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --document-private-items

# BENCH=logs, idle, wire or fleet for one part; BENCH="logs --json --rounds 5" takes options too.
bench: build
	tests/setup.sh bench
	target/release/bench $(BENCH)

# Coverage-guided fuzzing of one decoder: make fuzz TARGET=frame, for FUZZ_SECONDS or until Ctrl-C.
fuzz:
	tests/setup.sh fuzz
	cd tests/fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run $(TARGET) -- -max_total_time=$(FUZZ_SECONDS)

clean:
	cargo clean
