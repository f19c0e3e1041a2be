#!/usr/bin/env bash
# Trains and disturbs runs for some minutes, and compares each with the same run left alone: see tests/soak.py.
#
#   tests/soak.sh [MINUTES] [SEED]
#
# A full disk is a small file system in memory. Mounting it takes root, or a namespace of users in which this user is root.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet
for plugin in arithmetic entropy gini coherence misbehave; do
    cargo run --quiet -- plugin build "plugins/$plugin" --component
done
cargo run --quiet -- plugin build plugins/misbehave --native

namespace=(unshare --mount)
[ "$(id -u)" = 0 ] || namespace=(unshare --mount --map-root-user)
exec "${namespace[@]}" python3 tests/soak.py "$@"
