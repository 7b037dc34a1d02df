#!/bin/sh
# Runs the commands of docs/session.md against a new server with simulated machines, and writes their outputs into it.
# Times, durations, rates and secrets are written as constants. `cargo test -p mrp-cli --test session` compares.
set -eu
cd "$(dirname "$0")/.."
MRP_RECORD=1 exec cargo test --locked -p mrp-cli --test session
