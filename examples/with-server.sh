#!/usr/bin/env bash
# Runs a command beside `alft serve`, and ends the server after it:
#
#     examples/with-server.sh SERVE.toml COMMAND…
#
# ALFT is the command of alft; by default it is built from this checkout.
set -euo pipefail

file=$1
shift
address=http://127.0.0.1:8765
if curl -sf "$address/healthz" >/dev/null; then
    echo "something answers at $address already; end it first" >&2
    exit 1
fi
log=$(mktemp)
${ALFT:-cargo run --release --quiet --} serve "$file" >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" || true; rm -f "$log"' EXIT
# The first start builds alft and the plugins.
until curl -sf "$address/readyz" >/dev/null; do
    if ! kill -0 "$server" 2>/dev/null; then
        echo "alft serve ended:" >&2
        cat "$log" >&2
        exit 1
    fi
    sleep 0.2
done
ALFT_URL=$address "$@"
