#!/usr/bin/env bash
# From nothing: verl's own reward loop fetches rewards from `alft serve`. Its output is last.log.
#
# PYTHON is the interpreter (3.10 or newer), ALFT the command of alft. The first run fetches torch and Ray, about 4 GB.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=target/examples/verl
[ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/pip" install --quiet verl ./clients/python
# A run goes on where it was: this one begins anew.
rm -rf runs/verl
examples/with-server.sh examples/verl/serve.toml "$environment/bin/python" examples/verl/rewards.py 2>&1 |
    tee examples/verl/last.log
