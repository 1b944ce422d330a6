#!/usr/bin/env bash
# Runs every test of the workspace and closes with the counts.
set -uo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

awk '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    / SKIPPED: / { skipped++ }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped + ignored }
' "$log"
exit "$status"
