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


def watched(command, folder):
    """Runs a command. Returns its seconds, and the device's utilisation in percent over that time."""
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    samples = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
    begun = time.monotonic()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    seconds = time.monotonic() - begun
    samples.terminate()
    return seconds, [int(line) for line in samples.stdout if line.strip().isdigit()]


def last(samples, share):
    """Returns the mean of the last samples, without those of the end."""
    samples = samples[-max(int(len(samples) * share), 6) : -5]
    return statistics.mean(samples)


def steady(alft, dtype):
    """Returns the utilisation of a device that always has work."""
    sizes = ["parts=decode", "batches=64", "new_tokens=1024", "repeat=4", "profile=false", "device=cuda", dtype]
    command = [alft, "bench", "policy", "shape:smollm2-135m", *(word for size in sizes for word in ("--set", size))]
    return last(watched(command, ".")[1], 0.4)


def train(command, folder, output):
    """Returns the steps of a run, and the device's utilisation in them."""
    seconds, samples = watched([*command, "--output", output], folder)
    lines = [json.loads(line) for line in (folder / output / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line.get("phase") == "game"]
    # The run ends with its steps, but for the checkpoint.
    return steps, last(samples, 0.8 * sum(step["time"]["step"] for step in steps) / seconds)


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
