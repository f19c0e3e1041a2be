#!/usr/bin/env python3
"""Runs the experiment of this example: 3 starting policies x 2 consensus rules x 5 seeds.

    cargo build
    python3 examples/coherence/sweep.py

A run that has a summary.json is not run again, so an interrupted sweep continues where it stopped. Writes results.jsonl
beside this file, one line a run, then calls report.py for the tables and the figure.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RUN_FILE = HERE / "run.toml"

# Supervised steps before the game: about 20, 50 and 90% right on average over the seeds.
WARM_STARTS = [225, 450, 900]
RULES = ["arithmetic", "geometric"]
# Steps averaged into one point of a learning curve.
BIN = 15
# Steps at either end of the game whose samples are looked at in detail. In the first ones the learning rate still rises.
EDGE = 10
# Each run first builds the plugins and copies them into its folder: a second build must not rewrite the files meanwhile.
STARTING = Lock()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alft", type=Path, default=ROOT / "target/debug/alft", help="the alft binary")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/coherence-sweep", help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each kind")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    args = parser.parse_args()

    runs = [(warm, rule, seed) for warm in WARM_STARTS for rule in RULES for seed in range(args.seeds)]
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda run: train(args.alft, run_dir(args.runs, *run), *run), runs))

    rows = [result(run_dir(args.runs, *run), *run) for run in runs]
    report.RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report.main()


def run_dir(runs, warm, rule, seed):
    return runs / f"{warm}-{rule}-{seed}"


def train(alft, output, warm, rule, seed):
    """Runs `alft train` into the folder `output`, unless a finished run is there."""
    if (output / "summary.json").exists():
        return
    shutil.rmtree(output, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [alft, "train", RUN_FILE, "--output", output, "--seed", str(seed), "--set", f"warm_start.steps={warm}",
               "--set", f"plugin.coherence.config.consensus={rule}", "--set", "train.save_every=300"]
    with open(output.with_suffix(".log"), "w") as log:
        with STARTING:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            while process.poll() is None and not (output / "run.toml").exists():
                time.sleep(0.1)
        code = process.wait()
    if code != 0:
        sys.exit(f"{output.name} failed with exit code {code}: see {log.name}")
    print(f"{output.name} done", file=sys.stderr, flush=True)


def result(output, warm, rule, seed):
    """One line of results.jsonl."""
    summary = json.loads((output / "summary.json").read_text())
    steps = [line for line in json_lines(output / "metrics.jsonl") if line["phase"] == "game"]
    measured = {when: {key: round(summary[when][key], 5) for key in ["accuracy", "jsd", "entropy"]}
                for when in ["before", "after"]}
    curves = {key: [round(mean(line[key] for line in steps[at:at + BIN]), 4) for at in range(0, len(steps), BIN)]
              for key in ["accuracy", "jsd"]}
    samples = list(json_lines(output / "samples.jsonl"))
    first = [sample for sample in samples if sample["step"] <= EDGE]
    last = [sample for sample in samples if sample["step"] > len(steps) - EDGE]
    return {"warm_start_steps": warm, "consensus": rule, "seed": seed, "steps": len(steps), **measured,
            "majority": majority(first), "phrasings": {"first": phrasings(first), "last": phrasings(last)},
            "answers": {"first": answers_in_use(first), "last": answers_in_use(last)},
            "bin": BIN, "curves": curves}


def majority(samples):
    """Share of questions whose most frequent answer, over all samples of all phrasings, is right. A tie counts in part."""
    answers = {}
    for sample in samples:
        answers.setdefault(question(sample), Counter())[sample["answer"]] += 1
    right = []
    for asked, counts in answers.items():
        most = max(counts.values())
        leaders = [answer for answer, count in counts.items() if count == most]
        right.append((gold(asked) in leaders) / len(leaders))
    return round(mean(right), 4)


def phrasings(samples):
    """Accuracy of each phrasing."""
    right = {}
    for sample in samples:
        right.setdefault(sample["prompt"].split("/")[1], []).append(sample["answer"] == gold(question(sample)))
    return [round(mean(right[phrasing]), 4) for phrasing in sorted(right)]


def answers_in_use(samples):
    """Effective number of different answers, over all questions together: the exponential of their entropy."""
    counts = Counter(sample["answer"] for sample in samples)
    shares = [count / counts.total() for count in counts.values()]
    return round(math.exp(-sum(share * math.log(share) for share in shares)), 2)


def question(sample):
    """A sample's prompt is named QUESTION/PHRASING."""
    return sample["prompt"].split("/")[0]


def gold(asked):
    """Questions are named a+b."""
    return str(sum(int(term) for term in asked.split("+")))


def json_lines(path):
    with open(path) as lines:
        for line in lines:
            yield json.loads(line)


def mean(values):
    values = list(values)
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
