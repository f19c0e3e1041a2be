#!/usr/bin/env python3
"""Measures the plugin math beside Math-Verify: answers a second of CPU time on one core, and the time of an answer.

    python benches/peer_math_verify.py --alft target/release/alft --component alft_math.wasm --native libalft_math.so

Both sides read the same completions and compare them with the same gold answers: the cases of
plugins/math/tests/data/math_answers.jsonl, which are Math-Verify's own. Math-Verify is installed from PyPI into a folder of
its own. CPU time is compared, so that other work on the machine counts for neither side. For alft it is that of `alft score`
with the cases many times over, less that with a few; a run of the cases before warms Math-Verify up.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = Path(__file__).resolve().parent.parent / "plugins" / "math" / "tests" / "data" / "math_answers.jsonl"
VERSION = "0.9.0"


def cases():
    return [json.loads(line) for line in CASES.read_text().splitlines()]


def worker():
    """Prints the CPU seconds of each case, after a run to warm up."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    settings = [LatexExtractionConfig(), ExprExtractionConfig()]

    def grade(case):
        begun = time.process_time()
        gold, answer = (parse(case[key], settings, parsing_timeout=None) for key in ["gold", "pred"])
        verify(gold, answer, timeout_seconds=None)
        return time.process_time() - begun

    for case in cases():
        grade(case)
    print(json.dumps([grade(case) for case in cases()]))


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env={**os.environ, "RAYON_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_process(alft, library, folder):
    """Writes a run file that opens a native library in alft's own process, as only a pinned one is."""
    inspected = subprocess.run([alft, "plugin", "inspect", library, "--json"], stdout=subprocess.PIPE, check=True)
    run = Path(folder) / "native.toml"
    run.write_text(f"""
output = "out"
model = {{ embedded = "tiny" }}
prompts = {{ train = "none.jsonl" }}
train = {{ steps = 1 }}
[[plugin]]
name = "math"
path = "{library}"
hash = "{json.loads(inspected.stdout)["blake3"]}"
trust = "native"
isolation = "in-process"
""")
    return ["--run", run]


def alft_seconds(alft, plugin, folder):
    """Returns the CPU seconds of each case: of many repetitions of it in a file, less those of a file with a few."""

    def run(cases, times):
        file = Path(folder) / "completions.jsonl"
        with file.open("w") as out:
            for turn in range(times):
                for case in cases:
                    line = {"id": f"{turn}/{case['id']}", "prompt": f"{turn}/{case['id']}", "gold": case["gold"]}
                    out.write(json.dumps({**line, "completions": [case["pred"]]}) + "\n")
        return min(cpu_seconds([alft, "score", file, *plugin]) for _ in range(3))

    mean = (run(cases(), 61) - run(cases(), 1)) / 60 / len(cases())
    start = run(cases()[:1], 1)
    return mean, [(run([case], 401) - start) / 400 for case in cases()]


def percentile(seconds):
    """Returns the 99th percentile."""
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alft", type=Path)
    parser.add_argument("--component", type=Path, help="alft_math.wasm, as `alft plugin build plugins/math` makes it")
    parser.add_argument("--native", type=Path, help="the same as a native library, which is called in alft's process")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker()
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", Path(folder) / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", f"math-verify=={VERSION}"], check=True)
        output = subprocess.run([python, __file__, "--worker"], stdout=subprocess.PIPE, check=True, text=True).stdout
        theirs = json.loads(output.splitlines()[-1])
        rows = [("Math-Verify " + VERSION, statistics.mean(theirs), theirs)]
        alft = args.alft.resolve()
        if args.component:
            rows.append(("alft, component", *alft_seconds(alft, ["--plugin", args.component.resolve()], folder)))
        if args.native:
            library = in_process(alft, args.native.resolve(), folder)
            rows.append(("alft, native library", *alft_seconds(alft, library, folder)))
    print(f"{'':26} {'answers/s':>10} {'ms an answer':>13} {'99th percentile':>16} {'ratio':>7}")
    for name, mean, each in rows:
        print(f"{name:26} {1 / mean:10.0f} {1000 * mean:13.4f} {1000 * percentile(each):16.4f} {rows[0][1] / mean:7.0f}")


if __name__ == "__main__":
    main()
