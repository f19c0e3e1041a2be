#!/usr/bin/env python3
"""Trains twice on a GPU with the same seed, and compares the metrics; asks nvidia-smi meanwhile how busy the device is.

    python benches/gpu_run.py --alft target/release/alft --model DIR --plugins DIR [--set KEY=VALUE]

The run is that of peer_trl.py: 8 prompts × 8 completions of 128 tokens a step, LoRA. Prints one JSON object. Exit code 1
if the runs differ in anything but times.

A device whose queue is never empty is not 100% busy for nvidia-smi, because short kernels have gaps between them. Such a
device is measured, too: long completions of the same batch, one step after another. The difference to it is the share of
time that the device waits for the CPU.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peer_trl import write_run


def watched(command, folder, until=None):
    """Runs a command. Returns the device's utilisation in percent with the time of each sample, and `until`'s times."""
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    run = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    samples = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
    busy, marks = [], []
    for line in samples.stdout:
        if line.strip().isdigit():
            busy.append((time.monotonic(), int(line)))
        marks += [time.monotonic()] * ((until() if until else 0) - len(marks))
        if run.poll() is not None:
            break
    samples.terminate()
    if run.returncode != 0:
        sys.exit(f"{command[0]} failed with exit code {run.returncode}")
    return busy, marks


def mean_between(busy, begin, end):
    """Returns the mean of the samples of some time. Each is about the sixth of a second before it."""
    return statistics.mean(percent for at, percent in busy if begin + 0.2 <= at <= end)


def steady(alft, dtype):
    """Returns the utilisation of a device that always has work."""
    sizes = ["parts=decode", "batches=64", "new_tokens=1024", "repeat=4", "profile=false", "device=cuda", dtype]
    command = [alft, "bench", "policy", "shape:smollm2-135m", *(word for size in sizes for word in ("--set", size))]
    busy, _ = watched(command, ".")
    end = busy[-1][0] - 0.5
    return mean_between(busy, end - 0.4 * (end - busy[0][0]), end)


def train(command, folder, output):
    """Returns the steps of a run, and the device's utilisation in all but the first fifth of them."""
    path = folder / output / "metrics.jsonl"

    def games():
        # The last line may be half written.
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [line for line in map(json.loads, lines) if line.get("phase") == "game"]

    busy, marks = watched([*command, "--output", output], folder, lambda: len(games()))
    return games(), mean_between(busy, marks[len(marks) // 5], marks[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alft", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--plugins", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--steps", type=int, default=25)
    args = parser.parse_args()
    args.device, args.full, args.questions, args.group, args.new_tokens = "cuda", False, 4, 8, 128
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_run(args, folder)
        command = [str(Path(args.alft).resolve()), "train", "run.toml"]
        command += [word for pair in args.set for word in ("--set", pair)]
        (first, busy), (second, busy_again) = (train(command, folder, name) for name in ["one", "two"])
    dtype = next((pair.removeprefix("model.") for pair in args.set if pair.startswith("model.dtype=")), "dtype=f32")
    always = steady(command[0], dtype)

    def without_times(steps):
        return [{key: value for key, value in step.items() if key != "time"} for step in steps]

    same = without_times(first) == without_times(second)
    rest = first[len(first) // 5 :]
    result = {
        "part": "run",
        "same_metrics": same,
        "steps": len(first),
        "seconds": {key: statistics.median(step["time"][key] for step in rest) for key in rest[0]["time"]},
        "busy_percent": [busy, busy_again],
        "busy_percent_of_a_full_queue": always,
        "waiting_percent": 100 - 100 * statistics.mean([busy, busy_again]) / always,
    }
    print(json.dumps(result))
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
