#!/usr/bin/env python3
"""Runs the experiment of this example: 3 starting policies x 2 consensus rules x 5 seeds.

    cargo build
    python3 examples/coherence/sweep.py

A run that has a summary.json is not run again, so an interrupted sweep continues where it stopped. Each starting policy
also gets a short probe run, whose samples tell what the phrasings agreed on before any training. Writes results.jsonl
beside this file, one line a run, then calls report.py for the table and the figure.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RUN_FILE = HERE / "run.toml"

# Supervised steps before the game: about 20, 60 and 90% right.
WARM_STARTS = [225, 450, 900]
RULES = ["arithmetic", "geometric"]
SEEDS = range(5)
# Steps averaged into one point of a learning curve.
BIN = 10
# Samples of each phrasing in a probe run.
PROBE = 32


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alft", type=Path, default=ROOT / "target/debug/alft", help="the alft binary")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/coherence-sweep", help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    args = parser.parse_args()

    # Once, before parallel runs would each build them.
    for plugin in ["arithmetic", "coherence"]:
        subprocess.run([args.alft, "plugin", "build", ROOT / "plugins" / plugin], check=True)

    starts = [(warm, seed) for warm in WARM_STARTS for seed in SEEDS]
    jobs = {run_dir(args.runs, warm, rule, seed): settings(warm, rule, seed)
            for seed in SEEDS for warm in WARM_STARTS for rule in RULES}
    jobs |= {probe_dir(args.runs, warm, seed): probe_settings(warm, seed) for warm, seed in starts}
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda job: train(args.alft, *job), jobs.items()))

    probes = {start: probe(probe_dir(args.runs, *start)) for start in starts}
    rows = [result(run_dir(args.runs, warm, rule, seed), warm, rule, seed, probes[warm, seed])
            for warm in WARM_STARTS for rule in RULES for seed in SEEDS]
    report.RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report.main()


def run_dir(runs, warm, rule, seed):
    return runs / f"{warm}-{rule}-{seed}"


def probe_dir(runs, warm, seed):
    return runs / f"{warm}-probe-{seed}"


def settings(warm, rule, seed):
    return [f"warm_start.steps={warm}", f"plugin.coherence.config.consensus={rule}", f"seed={seed}"]


def probe_settings(warm, seed):
    """One step on all kept-out questions: its samples are drawn before its update, from the starting policy."""
    return [f"warm_start.steps={warm}", f"seed={seed}", "train.steps=1", "prompts.train=../quickstart/eval.jsonl",
            "game.bundles_per_step=100", f"game.group={PROBE}", "game.estimator=plug-in", "eval.bundles=1"]


def train(alft, output, overrides):
    """Runs `alft train` into the folder `output`, unless a finished run is there."""
    if (output / "summary.json").exists():
        return
    shutil.rmtree(output, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [alft, "train", RUN_FILE, "--output", output]
    for override in overrides:
        command += ["--set", override]
    with open(output.with_suffix(".log"), "w") as log:
        done = subprocess.run(command, stdout=log, stderr=log)
    if done.returncode != 0:
        sys.exit(f"{output.name} failed with exit code {done.returncode}: see {log.name}")
    print(f"{output.name} done", file=sys.stderr, flush=True)


def result(output, warm, rule, seed, probed):
    """One line of results.jsonl."""
    summary = json.loads((output / "summary.json").read_text())
    steps = [line for line in json_lines(output / "metrics.jsonl") if line["phase"] == "game"]
    measured = {when: {key: round(summary[when][key], 5) for key in ["accuracy", "jsd", "entropy"]}
                for when in ["before", "after"]}
    curves = {key: [round(mean(line[key] for line in steps[at:at + BIN]), 4) for at in range(0, len(steps), BIN)]
              for key in ["accuracy", "jsd"]}
    return {"warm_start_steps": warm, "consensus": rule, "seed": seed, "steps": len(steps), **measured,
            "probe": probed, "bin": BIN, "curves": curves}


def probe(output):
    """Probability of the right answer under the starting policy's consensus, averaged over questions."""
    answers = {}
    for line in json_lines(output / "samples.jsonl"):
        question, phrasing = line["prompt"].split("/")
        answers.setdefault(question, {}).setdefault(phrasing, Counter())[line["answer"]] += 1
    arithmetic, geometric, agreed = [], [], []
    for question, phrasings in answers.items():
        right = str(sum(int(term) for term in question.split("+")))
        arithmetic.append(mean(counts[right] / counts.total() for counts in phrasings.values()))
        consensus = geometric_mean(list(phrasings.values()))
        geometric.append(consensus.get(right, 0.0))
        agreed.append(max(consensus, key=consensus.get) == right)
    return {"arithmetic": round(mean(arithmetic), 4), "geometric": round(mean(geometric), 4),
            "mode": round(mean(agreed), 4)}


def geometric_mean(phrasings):
    """Normalised geometric mean of the phrasings' answer distributions. An answer that a phrasing's samples did not show
    counts as half a sample there, as in the coherence plugin."""
    answers = {answer for counts in phrasings for answer in counts if answer is not None}
    logs = {answer: 0.0 for answer in sorted(answers)}
    for counts in phrasings:
        raised = {answer: max(counts[answer], 0.5) for answer in logs}
        total = sum(raised.values())
        for answer in logs:
            logs[answer] += math.log(raised[answer] / total) / len(phrasings)
    total = sum(math.exp(log) for log in logs.values())
    return {answer: math.exp(log) / total for answer, log in logs.items()}


def json_lines(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
