#!/usr/bin/env python3
"""Has OpenRLHF's own rollout code fetch its rewards from `alft serve`.

    python rewards.py FOLDER URL [URL…]

FOLDER has OpenRLHF's files, unpacked from its wheel. Its module `openrlhf.utils.agent` samples a completion from vLLM and
asks the reward service about it. Here the sampler and the tokenizer are stand-ins with fixed completions; the rest is
OpenRLHF's, as it runs on a cluster. Fails if a reward is not the expected one.
"""

import argparse
import asyncio
import importlib
import re
import sys
import types
from pathlib import Path

# Prompt, right answer, completion, and the reward: 1 for the right answer, less 0.1 times the penalty of its length.
SAMPLES = [
    ("What is 17 + 25?", "42", " It is 42.", 1.0),
    ("What is 17 + 25?", "42", " It is 43.", 0.0),
    ("What is 17 + 25?", "42", " Well, seventeen and twenty-five make 42.", 0.9),
    ("What is 6 × 7?", "42", " forty-two", 0.0),
]


def load_agent(folder):
    """Imports `openrlhf.utils.agent` alone: the packages' own `__init__` imports torch, DeepSpeed and Ray."""
    root = next(path.parent.parent for path in Path(folder).rglob("openrlhf/utils/agent.py")).resolve()
    for name in ("openrlhf", "openrlhf.utils"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    return importlib.import_module("openrlhf.utils.agent"), root


class Tokens(list):
    def tolist(self):
        return list(self)


class Tokenizer:
    """A character is a token."""

    def __call__(self, text, **_):
        return {"input_ids": [Tokens(map(ord, text))]}

    def decode(self, tokens, **_):
        return "".join(map(chr, tokens))


class Engine:
    """Stands for vLLM: gives one fixed completion."""

    def __init__(self, completion):
        self.completion = completion

    async def generate(self, *_, **__):
        output = types.SimpleNamespace(
            token_ids=list(map(ord, self.completion)), text=self.completion, finish_reason="stop", logprobs=None
        )
        return types.SimpleNamespace(outputs=[output])


async def rollouts(agent, urls):
    executor = agent.SingleTurnAgentExecutor(urls)
    sampling = types.SimpleNamespace(max_tokens=64, logprobs=None)
    for prompt, label, completion, expected in SAMPLES:
        sample = await executor.execute(prompt, label, sampling, 256, Tokenizer(), Engine(completion))
        (reward,), (score,) = sample["reward"], sample["scores"]
        print(f"{prompt + completion!r}: reward {reward:.3f}, score {score:.3f}, logged {sample['extra_logs']}")
        if abs(reward - expected) > 1e-6:
            sys.exit(f"the reward should be {expected}")


def check_options(root):
    """Fails if train.sh has an option that this version does not know."""
    known = set(re.findall(r"--[a-z0-9_.]+", (root / "cli" / "train_ppo_ray.py").read_text()))
    used = set(re.findall(r"--[a-z]+\.[a-z0-9_.]+", Path(__file__).with_name("train.sh").read_text()))
    if used - known:
        sys.exit(f"options of train.sh that OpenRLHF does not know: {sorted(used - known)}")
    print(f"all {len(used)} options of train.sh are known")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("urls", nargs="+")
    args = parser.parse_args()
    agent, root = load_agent(args.folder)
    asyncio.run(rollouts(agent, args.urls))
    check_options(root)


if __name__ == "__main__":
    main()
