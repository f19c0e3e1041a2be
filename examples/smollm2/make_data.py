#!/usr/bin/env python3
"""Makes the questions of this example: sums of two numbers of two digits, each in three phrasings.

    python3 make_data.py

writes train.jsonl, tune.jsonl, eval.jsonl and further.jsonl beside itself, the same bytes each time. No sum is in two of them,
in neither order. The settings of the run were chosen with tune.jsonl.
"""

import json
import random
from pathlib import Path

COUNTS = {"train.jsonl": 400, "tune.jsonl": 20, "eval.jsonl": 60, "further.jsonl": 200}


def question(a, b):
    return {
        "id": f"{a}+{b}",
        "prompts": [f"What is {a} + {b}?", f"Add {a} and {b}.", f"How much is {a} plus {b}?"],
        "gold": str(a + b),
    }


def main():
    pairs = [(a, b) for a in range(10, 100) for b in range(a, 100)]
    chance = random.Random(1)
    chance.shuffle(pairs)
    for name, count in COUNTS.items():
        taken, pairs = pairs[:count], pairs[count:]
        rows = [question(*(pair if chance.random() < 0.5 else pair[::-1])) for pair in taken]
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        Path(__file__).with_name(name).write_bytes(text.encode())


if __name__ == "__main__":
    main()
