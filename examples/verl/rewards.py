#!/usr/bin/env python3
"""Has verl's own reward loop fetch its rewards from `alft serve`, sample by sample and group by group.

    python rewards.py

verl loads its configuration, the reward function or reward manager that the options name, and decodes and rewards a batch
of samples, as a worker of its trainer does. No model is trained: the samples are fixed. Fails if a reward is not the
expected one.
"""

import asyncio
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import verl
from alft_client import Client
from hydra import compose, initialize_config_dir
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from verl import DataProto
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker, migrate_legacy_reward_impl

RUN = "verl-example"
GROUP = 4
# Prompt, right answer and the completions of a group.
QUESTIONS = [
    ("What is 17 + 25?", "42", ["It is 42.", "It is 43.", "42", "forty-two"]),
    ("What is 6 times 7?", "42", ["42", "42", "6 times 7 is 42", "42"]),
]
# The scores of `arithmetic`.
RIGHT = [[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]]


def save_tokenizer(folder):
    """Writes a tokenizer whose tokens are characters, made on the spot."""
    characters = [chr(code) for code in range(32, 127)]
    vocabulary = {token: index for index, token in enumerate(["<pad>", "<eos>", "<unk>", *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    fast.save_pretrained(folder)
    return fast


def make_batch(tokenizer):
    """Returns the samples as verl's rollout makes them: the completions of a question have one `uid`."""
    rows = [
        (index, prompt, gold, completion)
        for index, (prompt, gold, completions) in enumerate(QUESTIONS)
        for completion in completions
    ]
    responses = [torch.tensor(tokenizer.encode(completion) + [tokenizer.eos_token_id]) for *_, completion in rows]
    prompts = [torch.tensor(tokenizer.encode(prompt)) for _, prompt, _, _ in rows]
    pad = tokenizer.pad_token_id
    prompt_ids = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True, padding_value=pad, padding_side="left")
    response_ids = torch.nn.utils.rnn.pad_sequence(responses, batch_first=True, padding_value=pad)
    tokens = torch.cat([prompt_ids, response_ids], dim=1)

    def objects(values):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array

    return DataProto.from_dict(
        tensors={
            "prompts": prompt_ids,
            "responses": response_ids,
            "input_ids": tokens,
            "attention_mask": (tokens != pad).long(),
        },
        non_tensors={
            "uid": objects([f"uid-{index}" for index, *_ in rows]),
            "data_source": objects(["sums"] * len(rows)),
            "reward_model": objects([{"style": "rule", "ground_truth": gold} for _, _, gold, _ in rows]),
            "extra_info": objects(
                [{"split": "train", "index": index, "question": prompt} for index, prompt, _, _ in rows]
            ),
            "raw_prompt": objects([[{"role": "user", "content": prompt}] for _, prompt, _, _ in rows]),
        },
    )


def reward(folder, batch, options):
    """Returns what a reward worker of verl gives for a batch, with these options on the command line of verl's trainer."""
    directory = Path(verl.__file__).parent / "trainer" / "config"
    with initialize_config_dir(str(directory), version_base=None):
        config = compose(
            "ppo_trainer",
            overrides=[
                f"actor_rollout_ref.model.path={folder}",
                f"actor_rollout_ref.rollout.n={GROUP}",
                "actor_rollout_ref.rollout.name=vllm",
                *options,
            ],
        )

    async def run():
        worker = RewardLoopWorker(migrate_legacy_reward_impl(config))
        return await worker.compute_score_batch(batch)

    print("verl", " ".join(options))
    rewards = asyncio.run(run())
    for entry in rewards:
        extra = {name: round(value, 3) for name, value in entry["reward_extra_info"].items()}
        print(f"    reward {entry['reward_score']:.3f}  {extra}")
    return rewards


def expect(found, wanted):
    if any(abs(one - other) > 1e-6 for one, other in zip(found, wanted, strict=True)):
        sys.exit(f"expected {wanted}, and got {found}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        batch = make_batch(save_tokenizer(folder))
        print(f"verl {verl.__version__}")
        right = [score for scores in RIGHT for score in scores]
        alone = reward(
            folder,
            batch,
            [
                "reward.custom_reward_function.path=pkg://alft_client.verl",
                "reward.custom_reward_function.name=compute_score",
            ],
        )
        expect([entry["reward_extra_info"]["arithmetic"] for entry in alone], right)

        together = reward(
            folder,
            batch,
            [
                "reward.num_workers=1",
                "reward.reward_manager.source=importlib",
                "reward.reward_manager.name=GroupRewardManager",
                "reward.reward_manager.module.path=pkg://alft_client.verl_groups",
                f"+reward.reward_kwargs.run={RUN}",
            ],
        )
        entropies = [entry["reward_extra_info"]["entropy"] for entry in together]
        expect([entry["reward_extra_info"]["arithmetic"] for entry in together], right)
        expect([entry["reward_score"] for entry in together], [r + 0.05 * e for r, e in zip(right, entropies)])
        # In the first group an answer that half of the samples give is less rare than the two others.
        if not (entropies[0] == entropies[2] < entropies[1] and all(map(math.isfinite, entropies))):
            sys.exit(f"the entropies {entropies[:GROUP]} are not those of the group's answers")
    with Client.from_environment() as alft:
        print(f"the server's run: {alft.run(RUN)}")


if __name__ == "__main__":
    main()
