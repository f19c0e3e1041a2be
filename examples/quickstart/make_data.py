#!/usr/bin/env python3
"""Makes the data of this example: two-digit additions for a model that reads characters.

    python3 make_data.py

writes three files beside itself, the same bytes each time:

  worked.jsonl  solved additions, to teach the model supervised: the units, the tens, then ":" and the answer
  train.jsonl   questions to fine-tune on, each in three phrasings and with the right answer
  eval.jsonl    the same, kept out: neither a+b nor b+a is in the other two

The solved additions show one phrasing far more often than the others. So the taught model answers the same question
differently by how it is put, which is what the coherence objective repairs.
"""

import json
import random
from pathlib import Path

PHRASINGS = ["{a}+{b}=", "add {a} {b}=", "{b} to {a}="]
# How many solved additions show each phrasing.
WORKED = [1800, 750, 450]
TRAIN = 1000
EVAL = 100


def bundle(a, b):
    """One question in every phrasing."""
    prompts = [phrasing.format(a=a, b=b) for phrasing in PHRASINGS]
    return {"id": f"{a}+{b}", "prompts": prompts, "gold": str(a + b)}


def solution(a, b):
    """58 and 27 give 8+7=15,5+2+1=8:85."""
    units = a % 10 + b % 10
    tens = a // 10 + b // 10 + units // 10
    carry = "+1" if units >= 10 else ""
    return f"{a % 10}+{b % 10}={units},{a // 10}+{b // 10}{carry}={tens}:{a + b}"


def either_order(rng, pairs):
    return [pair if rng.random() < 0.5 else pair[::-1] for pair in pairs]


def write(name, rows):
    lines = [json.dumps(row, separators=(",", ":")) + "\n" for row in rows]
    Path(__file__).with_name(name).write_bytes("".join(lines).encode())


def main():
    rng = random.Random(1)
    pairs = [(a, b) for a in range(10, 100) for b in range(a, 100)]
    rng.shuffle(pairs)
    kept_out, rest = pairs[:EVAL], pairs[EVAL:]

    shown = [(a, b) for pair in rest for a, b in {pair, pair[::-1]}]
    shown = rng.sample(sorted(shown), sum(WORKED))
    phrasings = [phrasing for phrasing, count in zip(PHRASINGS, WORKED) for _ in range(count)]
    rng.shuffle(phrasings)
    worked = [
        {"prompt": phrasing.format(a=a, b=b), "completion": solution(a, b)}
        for phrasing, (a, b) in zip(phrasings, shown)
    ]

    write("worked.jsonl", worked)
    write("train.jsonl", [bundle(a, b) for a, b in either_order(rng, rest[:TRAIN])])
    write("eval.jsonl", [bundle(a, b) for a, b in either_order(rng, kept_out)])


if __name__ == "__main__":
    main()
