#!/usr/bin/env bash
# From nothing: OpenRLHF's own client code fetches rewards from `alft serve`. Its output is last.log.
#
# PYTHON is the interpreter (3.10 or newer), ALFT the command of alft. OpenRLHF is unpacked without what it depends on.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=target/examples/openrlhf
[ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/pip" install --quiet aiohttp
for version in 0.10.4 0.11.2; do
    folder=$environment/openrlhf-$version
    [ -d "$folder" ] && continue
    # Its wheels name one version of Python and a platform, though all they have is Python.
    "$environment/bin/pip" download --quiet --no-deps --only-binary :all: --python-version 3.11 \
        --platform manylinux1_x86_64 --dest "$environment/wheels" "openrlhf==$version"
    "$environment/bin/python" -m zipfile -e "$environment/wheels/openrlhf-$version"-*.whl "$folder"
done

rewards() {
    echo "OpenRLHF $1, addresses of the service: $2"
    local urls=()
    for ((i = 0; i < $2; i++)); do urls+=("$ALFT_URL/v1/openrlhf"); done
    "$environment/bin/python" examples/openrlhf/rewards.py "$environment/openrlhf-$1" "${urls[@]}"
}
all() {
    rewards 0.11.2 1
    # The newest version asks its addresses in turn. Older ones send the first the sample and the others empty lists.
    rewards 0.11.2 2
    rewards 0.10.4 2
}
export environment
export -f rewards all
# A run goes on where it was: this one begins anew.
rm -rf runs/openrlhf
examples/with-server.sh examples/openrlhf/serve.toml bash -euo pipefail -c all 2>&1 | tee examples/openrlhf/last.log
