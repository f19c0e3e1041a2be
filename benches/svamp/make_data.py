#!/usr/bin/env python3
"""Makes the word problems of peer_trl.py from SVAMP: short, in one step of arithmetic.

    python3 make_data.py SVAMP.json

writes questions.jsonl (150 problems) beside itself, the same bytes each time. Each problem is put in two ways, story first
and question first. SVAMP tells about a hundred stories, each in several versions with other numbers or another question; a
third of the stories is left out, so that it can be kept for an evaluation.

SVAMP is by Arkil Patel, Satwik Bhattamishra and Navin Goyal (github.com/arkilpatel/SVAMP, MIT: see LICENSE).
"""

import json
import random
import re
import sys
from pathlib import Path

COUNT = 150
# Two problems that share at least this part of their stories' words tell the same one.
SAME = 0.5
# Characters of story and question together: longer ones make a step slow.
LONGEST = 240
# Longer answers are beyond a small model.
LARGEST = 999


def tidy(text):
    text = " ".join(text.split()).replace("$ ", "$")
    return re.sub(r"\s*([.,?!])[.\s]*(?=\s|$)", r"\1", text)


def bundle(problem):
    """One problem in both ways, or None if it does not lend itself to them."""
    body, question = tidy(problem["Body"]), tidy(problem["Question"])
    answer = float(problem["Answer"])
    # A story that breaks off in "If ..." or "When ..." does not stand on its own.
    last = re.split(r"(?<=[.!?]) ", body)[-1]
    if re.match(r"(if|when|after|since|as|in order)\b", last, re.IGNORECASE):
        return None
    if not question.endswith("?") or len(body) + len(question) > LONGEST:
        return None
    if not answer.is_integer() or not 0 <= answer <= LARGEST:
        return None
    if not body.endswith((".", "!")):
        body += "."
    return {
        "id": problem["ID"],
        "prompts": [body + " " + question, question + " " + body],
        "gold": str(int(answer)),
    }


def stories(bundles):
    """The problems, those that tell one story together, in the order of each story's first."""
    found = []
    for one in bundles:
        body = one["prompts"][1].partition("? ")[2]
        words = set(re.findall(r"[a-z]+", body.lower()))
        same = [story for story in found if any(len(words & w) >= SAME * len(words | w) for w, _ in story)]
        # A problem may show that two stories are one.
        merged = [member for story in same for member in story] + [(words, one)]
        found = [story for story in found if story not in same]
        found.append(merged)
    return [[one for _, one in story] for story in found]


def spread(told, count):
    """So many problems from all these stories: one of each, then another of each, and so on."""
    rounds = max(map(len, told), default=0)
    problems = [story[i] for i in range(rounds) for story in told if i < len(story)]
    if len(problems) < count:
        sys.exit(f"{len(problems)} problems fit, {count} are needed: is this the whole of SVAMP?")
    return problems[:count]


def write(name, rows):
    lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows]
    Path(__file__).with_name(name).write_bytes("".join(lines).encode())


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_data.py SVAMP.json")
    problems = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    told = stories([made for made in map(bundle, problems) if made])
    random.Random(1).shuffle(told)
    write("questions.jsonl", spread(told[len(told) // 3 :], COUNT))


if __name__ == "__main__":
    main()
