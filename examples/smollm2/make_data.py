#!/usr/bin/env python3
"""Makes the data of this example from SVAMP: short word problems in one step of arithmetic.

    python3 make_data.py SVAMP.json

writes train.jsonl (150 problems) and eval.jsonl (50, kept out) beside itself, the same bytes each time. Each problem
is put in two ways, story first and question first. SVAMP has many problems in several near-identical versions; of
these one is taken, so that nothing kept out has a twin to train on.

SVAMP is by Arkil Patel, Satwik Bhattamishra and Navin Goyal (github.com/arkilpatel/SVAMP, MIT: see SVAMP-LICENSE).
"""

import json
import random
import re
import sys
from pathlib import Path

TRAIN = 150
EVAL = 50
# Two problems that share more than this part of their words are versions of one.
TWINS = 0.5
# Characters of story and question together: longer ones make a step slow.
LONGEST = 240


def tidy(text):
    return re.sub(r"\s+([.,?!])", r"\1", " ".join(text.split()))


def bundle(problem):
    """One problem in both ways, or None if it does not lend itself to them."""
    body, question = tidy(problem["Body"]), tidy(problem["Question"])
    answer = float(problem["Answer"])
    # A story that breaks off in "If ..." or "When ..." does not stand on its own.
    last = re.split(r"(?<=[.!?]) ", body)[-1]
    if re.match(r"(if|when|after|since|as|in order)\b", last, re.IGNORECASE):
        return None
    if not answer.is_integer() or not question.endswith("?") or len(body) + len(question) > LONGEST:
        return None
    if not body.endswith((".", "!")):
        body += "."
    return {
        "id": problem["ID"],
        "prompts": [f"{body} {question}", f"{question} {body}"],
        "reference": str(int(answer)),
    }


def words(bundle):
    return set(re.findall(r"[a-z]+", bundle["prompts"][0].lower()))


def choose(bundles, count):
    """The first `count` that are no twins of one another."""
    chosen, seen = [], []
    for candidate in bundles:
        own = words(candidate)
        if all(len(own & other) <= TWINS * len(own | other) for other in seen):
            chosen.append(candidate)
            seen.append(own)
        if len(chosen) == count:
            return chosen
    sys.exit(f"only {len(chosen)} problems fit, {count} are needed: is this the whole of SVAMP?")


def write(name, rows):
    lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows]
    Path(__file__).with_name(name).write_bytes("".join(lines).encode())


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_data.py SVAMP.json")
    problems = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    bundles = [made for made in map(bundle, problems) if made]
    random.Random(1).shuffle(bundles)
    chosen = choose(bundles, TRAIN + EVAL)
    write("train.jsonl", chosen[:TRAIN])
    write("eval.jsonl", chosen[TRAIN:])


if __name__ == "__main__":
    main()
