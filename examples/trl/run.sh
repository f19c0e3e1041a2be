#!/usr/bin/env bash
# From nothing: a virtual environment with TRL and the client, `alft serve`, and a training. Its output is last.log.
#
# PYTHON is the interpreter (3.10 or newer), ALFT the command of alft. The first run fetches torch, about 3 GB.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=target/examples/trl
[ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/pip" install --quiet trl ./clients/python
# A run goes on where it was: this one begins anew.
rm -rf runs/trl
{
    "$environment/bin/pip" list 2>/dev/null | grep -E '^(alft-client|torch|transformers|trl) '
    examples/with-server.sh examples/trl/serve.toml "$environment/bin/python" examples/trl/train.py "$@"
} 2>&1 | tee examples/trl/last.log
