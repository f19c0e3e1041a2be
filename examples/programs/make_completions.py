"""Writes completions.jsonl: ten tasks of HumanEval, each with a right, an empty and an endless program.

    python3 make_completions.py HumanEval.jsonl.gz > completions.jsonl

The file is data/HumanEval.jsonl.gz of https://github.com/openai/human-eval at commit 6d43fb9 (MIT licence).
"""

import gzip
import json
import sys

TASKS = ["HumanEval/%d" % number for number in (0, 2, 11, 28, 32, 34, 38, 44, 53, 63)]


def completions(task):
    for body in (task["canonical_solution"], "    pass\n", "    while True:\n        pass\n"):
        yield f"```python\n{task['prompt']}{body}```"


if __name__ == "__main__":
    for line in gzip.open(sys.argv[1]):
        task = json.loads(line)
        if task["task_id"] in TASKS:
            keys = {"id": task["task_id"], "prompt": task["prompt"], "test": task["test"], "entry_point": task["entry_point"]}
            print(json.dumps(keys | {"completions": list(completions(task))}))
