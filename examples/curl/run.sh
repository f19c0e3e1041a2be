#!/usr/bin/env bash
# From nothing: starts `alft serve` and sends it requests with curl (7.82 or newer). Its output is last.log.
#
# ALFT is the command of alft.
set -euo pipefail
cd "$(dirname "$0")/../.."

# A run goes on where it was: this one begins anew.
rm -rf runs/curl
examples/with-server.sh examples/curl/serve.toml examples/curl/requests.sh 2>&1 | tee examples/curl/last.log
