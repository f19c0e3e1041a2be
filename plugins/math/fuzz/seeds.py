#!/usr/bin/env python3
"""Writes the expected values of the tests as inputs of the fuzzer: a gold answer, and a completion below it."""

import json
from pathlib import Path

here = Path(__file__).resolve().parent
(here / "seeds").mkdir(exist_ok=True)
for name in ["math_answers", "math_reported"]:
    for line in (here.parent / "tests" / "data" / f"{name}.jsonl").read_text().splitlines():
        case = json.loads(line)
        gold = case["gold"].replace("\n", " ")
        (here / "seeds" / f"{name}-{case['id']}").write_text(f"{gold}\n{case['pred'][-1500:]}")
