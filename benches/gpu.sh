#!/usr/bin/env bash
# All checks and measurements of a machine with a GPU, in under eight minutes. Builds nothing.
#
#     benches/gpu.sh ALFT [OUT_DIR]
#
# ALFT is a binary built with `--features cuda`. Python with torch, transformers and peft must be in PATH, or named by
# PYTHON; with trl and datasets too, a whole GRPO step is compared. Writes one log, benches/results/gpu-CARD-COMMIT.log
# (or in OUT_DIR), with the card, the driver and the commit on top, and the measurements as JSON lines beside it. A part
# that fails or runs out of its time is noted, and the next one goes on. Exit code 0 if every part succeeded.
set -uo pipefail
shopt -s nullglob

alft=$(realpath "${1:?usage: benches/gpu.sh ALFT [OUT_DIR]}")
here=$(dirname "$(realpath "$0")")
out=${2:-$here/results}
python=${PYTHON:-python3}
mkdir -p "$out"
# The driver compiles candle's kernels at their first use: the cache keeps that out of the measurements.
export CUDA_CACHE_PATH=${CUDA_CACHE_PATH:-$out/.cuda-cache} CUDA_CACHE_MAXSIZE=4294967296

card=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1) || { echo "no GPU is visible" >&2; exit 6; }
commit=${ALFT_COMMIT:-$(git -C "$here" describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)}
name=gpu-$(tr -c 'A-Za-z0-9\n' - <<<"${card%%,*}" | tr 'A-Z' 'a-z')-$commit
log=$out/$name.log lines=$out/$name.jsonl
rm -f "$log" "$lines"
begun=$SECONDS failed=0

say() { echo "$*" | tee -a "$log"; }

# part SECONDS NAME COMMAND…: runs a command within its time, and within what is left of eight minutes.
part() {
    local limit=$1 title=$2 left=$((470 - (SECONDS - begun))) started=$SECONDS code
    shift 2
    say "== $title: $*"
    if ((left < 5)); then
        say "-- left out: the eight minutes are over"
        failed=1
        return
    fi
    timeout --kill-after=5 $((limit < left ? limit : left)) "$@" 2>&1 | grep --line-buffered -v '^ *bench ' | tee -a "$log"
    code=${PIPESTATUS[0]}
    ((code == 0)) || failed=1
    say "-- exit code $code after $((SECONDS - started)) s"
}

say "card and driver: $card"
say "commit: $commit, $("$alft" --version)"
say "host: $(grep -m 1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs), $(nproc) threads"

smollm2=shape:smollm2-135m qwen=shape:qwen2.5-0.5b
bf16=(--dtype bf16 --set dtype=bf16)
peer=("$python" "$here/peer_torch.py" --alft "$alft" --device cuda --rounds 1 --out "$lines")

part 60 "every kernel against its twin" "$alft" doctor --gpu --json
part 60 "where the time goes" "$alft" bench policy $smollm2 --set device=cuda --set dtype=bf16 --set repeat=2
part 80 "decoding beside torch" "${peer[@]}" --model $smollm2 "${bf16[@]}" --parts decode --batch 64,256 --new-tokens 64 --repeat 1
part 80 "updates beside torch" "${peer[@]}" --model $smollm2 "${bf16[@]}" --parts log-probs,update-lora,update-full --sequences 64
part 60 "Qwen2.5-0.5B beside torch" "${peer[@]}" --model $qwen "${bf16[@]}" --parts decode --batch 256 --new-tokens 64 --repeat 1
if [[ -n ${MODEL:-} ]]; then
    # MODEL: a folder in Hugging Face's format. PLUGINS: one of components (see peer_trl.py), where they cannot be built.
    plugins=(${PLUGINS:+--plugins "$PLUGINS"})
    for tuning in --full ""; do
        part 90 "a GRPO step beside TRL" "$python" "$here/peer_trl.py" --alft "$alft" --model "$MODEL" --device cuda \
            --dtype bf16 --set model.dtype=bf16 --questions 4 --new-tokens 128 --steps 3 $tuning "${plugins[@]}" --out "$lines"
    done
    [[ -z ${PLUGINS:-} ]] || part 60 "the same seed twice" "$python" "$here/gpu_run.py" --alft "$alft" --model "$MODEL" \
        --plugins "$PLUGINS" --set model.dtype=bf16
else
    say "== a GRPO step beside TRL: left out, because MODEL names no model folder"
fi
part 60 "f32 beside torch" "${peer[@]}" --model $smollm2 --parts decode,update-full --batch 64 --new-tokens 64 --sequences 64 --repeat 1
part 30 "more memory than there is" bash -c "! '$alft' bench policy $smollm2 --set device=cuda --set parts=update-full \
    --set sequences=8192 --set token_budget=10000000 --set repeat=1 --set profile=false"
say "all parts: $((SECONDS - begun)) s, $( ((failed)) && echo "not all succeeded" || echo "all succeeded")"
exit $failed
