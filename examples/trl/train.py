#!/usr/bin/env python3
"""Trains a tiny model with TRL's GRPOTrainer; all rewards come from `alft serve`.

    python train.py [--steps 60]

The model is a Llama of about 120 thousand random weights that reads and writes characters, made on the spot: no download.
It learns the sums of two digits up to 3, such as `2+3=`. Prints the reward and the scores of both plugins every tenth step, and fails
if the reward of the last ten steps is not well above that of the first ten.
"""

import argparse
import statistics
import sys
import tempfile
import warnings

import torch
from alft_client import Client
from alft_client.trl import reward_function
from datasets import Dataset
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from trl import GRPOConfig, GRPOTrainer

CHARACTERS = "0123456789+="
GROUP = 8
QUESTIONS_PER_STEP = 16
RUN = "trl-example"


def make_tokenizer():
    vocabulary = {token: index for index, token in enumerate(["<pad>", "<eos>", "<unk>", *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def make_model(tokenizer):
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=32,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def make_questions():
    sums = [(a, b) for a in range(4) for b in range(4)]
    return Dataset.from_list([{"prompt": f"{a}+{b}=", "answer": str(a + b)} for a, b in sums])


class Printer(TrainerCallback):
    """Keeps the numbers of every step and prints some."""

    def __init__(self):
        self.steps = []

    def on_log(self, args, state, control, logs=None, **_):
        if "reward" not in logs:
            return
        self.steps.append(logs)
        if state.global_step == 1 or state.global_step % 10 == 0:
            print(
                f"step {state.global_step:3}  reward {logs['reward']:.3f}  arithmetic {logs['alft/arithmetic']:.3f}  "
                f"entropy {logs['alft/entropy']:.3f}  groups without spread {logs['frac_reward_zero_std']:.2f}",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    set_seed(0)
    torch.set_num_threads(2)

    tokenizer = make_tokenizer()
    printer = Printer()
    with Client.from_environment() as alft, tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=make_model(tokenizer),
            reward_funcs=reward_function(alft, run=RUN, gold="answer", num_generations=GROUP),
            args=GRPOConfig(
                output_dir=folder,
                max_steps=args.steps,
                per_device_train_batch_size=QUESTIONS_PER_STEP * GROUP,
                num_generations=GROUP,
                max_completion_length=1,
                learning_rate=3e-3,
                lr_scheduler_type="constant",
                beta=0.0,
                # Advantages in the units of the reward: dividing by a group's deviation would blow the small rewards of
                # entropy up to full size wherever all samples are equally right or wrong.
                scale_rewards="none",
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                save_strategy="no",
                report_to="none",
                logging_steps=1,
                disable_tqdm=True,
                seed=0,
            ),
            train_dataset=make_questions(),
            processing_class=tokenizer,
            callbacks=[printer],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        state = alft.run(RUN)

    first, last = (
        statistics.mean(step["reward"] for step in steps) for steps in (printer.steps[:10], printer.steps[-10:])
    )
    print(f"the server's run {state.run}: {state.steps} steps, {state.questions} questions")
    print(f"mean reward of the first ten steps {first:.3f}, of the last ten {last:.3f}")
    if last < first + 0.1:
        sys.exit("the reward did not rise")


if __name__ == "__main__":
    main()
