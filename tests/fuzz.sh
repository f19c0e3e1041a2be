#!/usr/bin/env bash
# Builds the fuzz targets and runs each for some seconds, one after the other. Ends with 1 and the path of the input at the
# first finding.
#
#   tests/fuzz.sh [SECONDS [TARGET...]]
#
# Needs cargo-fuzz (`cargo install cargo-fuzz`) and python3. Inputs that reached something new are kept in
# tests/fuzz/corpus, from which the next run goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
shift || true
wanted=("$@")
# The targets are built by a stable compiler, without a sanitizer; all share one folder.
export RUSTC_BOOTSTRAP=1
options=(--fuzz-dir . --sanitizer none --target-dir "$PWD/target/fuzz")

is_wanted() {
    [ ${#wanted[@]} = 0 ] || [[ " ${wanted[*]} " == *" $1 "* ]]
}

# fuzz TARGET OPTION...: the options are libFuzzer's.
fuzz() {
    local target=$1
    shift
    is_wanted "$target" || return 0
    echo "== $target"
    mkdir -p "corpus/$target" "seeds/$target"
    if ! cargo fuzz run "${options[@]}" "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -print_final_stats=1 "$@"; then
        echo "$target has a finding: $PWD/$(ls -t "artifacts/$target/"* | head -1)" >&2
        exit 1
    fi
}

# Some targets open components of this repository's plugins, which its alft compiles.
if is_wanted open || is_wanted mutated || is_wanted answers; then
    cargo build --quiet
    for plugin in plugins/*/Cargo.toml; do
        cargo run --quiet -- plugin build "$(dirname "$plugin")" --component
    done
fi

cd tests/fuzz
python3 seeds.py
limits=(-timeout=10 -rss_limit_mb=512)
fuzz run_file "${limits[@]}" -max_len=8192 -dict=seeds/run_file.dict
fuzz data "${limits[@]}" -max_len=8192
fuzz model "${limits[@]}" -max_len=8192 -dict=seeds/model.dict
fuzz weights "${limits[@]}" -max_len=65536
fuzz gguf "${limits[@]}" -max_len=65536 -dict=seeds/gguf.dict
fuzz adapter "${limits[@]}" -max_len=16384
fuzz ledger "${limits[@]}" -max_len=8192
fuzz kit "${limits[@]}" -max_len=8192
fuzz lock "${limits[@]}" -max_len=8192
fuzz wire "${limits[@]}" -max_len=8192
fuzz open -timeout=25
fuzz mutated -timeout=25 -len_control=0 -max_len=200
fuzz answers -timeout=10 -max_len=2000 -dict=latex.dict
