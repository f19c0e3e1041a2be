#!/usr/bin/env bash
# Records the requests of the clients into recorded/: run it when a client changes, after the examples' own scripts, whose
# virtual environments it uses.
set -euo pipefail
cd "$(dirname "$0")/../.."

python() { echo "target/examples/$1/bin/python"; }
record() { # NAME SERVE.toml COMMAND…
    local name=$1 serve=$2
    shift 2
    rm -rf "runs/$(basename "$(dirname "$serve")")"
    examples/with-server.sh "$serve" python3 tests/serve/record.py "tests/serve/recorded/$name.json" "$@"
}

record client examples/curl/serve.toml env PYTHONPATH=clients/python/src python3 tests/serve/client.py
# Two addresses: the older version sends the second one empty lists.
record openrlhf examples/openrlhf/serve.toml bash -euo pipefail -c \
    "for version in 0.11.2 0.10.4; do $(python openrlhf) examples/openrlhf/rewards.py \
        target/examples/openrlhf/openrlhf-\$version \$ALFT_URL/v1/openrlhf \$ALFT_URL/v1/openrlhf; done"
record verl examples/verl/serve.toml "$(python verl)" examples/verl/rewards.py
# Two steps are too few for the reward to rise, and enough for the requests.
record trl examples/trl/serve.toml "$(python trl)" examples/trl/train.py --steps 2 || true
