#!/usr/bin/env python3
"""Measures a whole GRPO step of alft beside one of TRL's GRPOTrainer: the same model, questions and settings.

    python benches/peer_trl.py --alft target/release/alft --model DIR [--threads 2] [--device cpu|cuda] [--full]

DIR is a folder in Hugging Face's format. The questions are the word problems of benches/svamp, so a step has
`--questions` × 2 phrasings × `--group` completions of at most `--new-tokens` tokens. On both sides: temperature 1, no KL
penalty (beta 0), one update of the whole batch, AdamW, LoRA of rank 16 on q and v, or all weights with --full.

alft runs with its plugins (a reader and verifier, a grader and two objectives, all components) and its ledger, checkpoint
at the end; --plugins names a folder with arithmetic.wasm, entropy.wasm, coherence.wasm and length.wasm for a machine that
cannot build them. TRL runs with two reward functions in Python: one finds the last number, one is the grader's. The time
of a step includes sampling, rewards and the update; the first step of each side is left out. Prints both, their ratio, and
the plugins' share of alft's step.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = ROOT / "benches" / "svamp" / "questions.jsonl"
TEMPLATE = ROOT / "benches" / "svamp" / "template.txt"


# Weight of a reward that falls with the length of a completion. It differs within every group, so every completion has an
# advantage: alft leaves those without out of the update, and TRL computes them all the same.
LENGTH_WEIGHT = 0.1


def most_characters(args):
    """Returns a number of characters that few completions have."""
    return 10 * args.new_tokens


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alft", help="the alft binary, built with --release", required=True)
    parser.add_argument("--model", help="a folder in Hugging Face's format", required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="precision of TRL's model")
    parser.add_argument("--set", action="append", default=[], help="a further key of alft's run file: KEY=VALUE")
    parser.add_argument("--full", action="store_true", help="train all weights")
    parser.add_argument("--plugins", type=Path, help="a folder of components, in place of building them")
    parser.add_argument("--questions", type=int, default=2, help="questions of a step, of two phrasings each")
    parser.add_argument("--group", type=int, default=8, help="completions of a phrasing")
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4, help="steps of each side, the first of which is left out")
    parser.add_argument("--out", type=Path, help="a file of JSON lines to append the result to")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def peak_of_children():
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def write_run(args, folder):
    """Writes the run file of alft's side to a folder."""

    def plugin(name, keys):
        built = f'path = "{args.plugins.resolve()}/{name}.wasm"' if args.plugins else f'crate = "{ROOT}/plugins/{name}"'
        return f'\n[[plugin]]\nname = "{name}"\n{built}\n{keys}'

    longest = most_characters(args)
    plugins = plugin("arithmetic", "") + plugin("entropy", "weight = 0.05\n") + plugin("coherence", "weight = 0.3\n")
    plugins += plugin("length", f"weight = {LENGTH_WEIGHT}\nconfig = {{ max = {longest}, buffer = {longest} }}\n")
    lora = "" if args.full else 'lora = { rank = 16, alpha = 32.0, targets = ["q_proj", "v_proj"] }\n'
    (folder / "run.toml").write_text(
        f'output = "run"\n[model]\npath = "{Path(args.model).resolve()}"\ndevice = "{args.device}"\n{lora}'
        f'[prompts]\ntrain = "{QUESTIONS}"\ntemplate = {json.dumps(TEMPLATE.read_text())}\n'
        f"[sampling]\nmax_new_tokens = {args.new_tokens}\n"
        f"[game]\ngroup = {args.group}\nbundles_per_step = {args.questions}\n"
        f"[train]\nsteps = {args.steps}\nsave_every = {args.steps}\ntoken_budget = 1000000\n"
        f"schedule = {{ learning_rate = 1e-6 }}\nloss = {{ beta = 0.0 }}\n{plugins}"
    )


def run_alft(args, folder):
    """Returns the steps of a run: seconds, those of plugins, and the mean number of tokens of a completion."""
    write_run(args, folder)
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    command = [args.alft, "train", "run.toml", *(word for pair in args.set for word in ("--set", pair))]
    # Plugins are built before the clock starts: a run of no steps builds them.
    for steps in ["0", str(args.steps)]:
        subprocess.run(
            [*command, "--steps", steps, "--output", f"run{steps}"],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    lines = [json.loads(line) for line in (folder / f"run{args.steps}/metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line.get("phase") == "game"]
    return {
        "seconds": [step["time"]["step"] for step in steps],
        "sampling_seconds": [step["time"]["sampling"] for step in steps],
        "plugin_seconds": [step["time"]["plugins"] for step in steps],
        "completion_tokens": statistics.mean(step["completion_tokens"] for step in steps),
        "peak_memory": peak_of_children(),
    }


def run_trl(args, folder):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(args.threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [sys.executable, __file__, *sys.argv[1:], "--worker"]
    run = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def worker(args):
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(args.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    # The tokens of a word problem are never padding: an unused special token serves.
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    template = TEMPLATE.read_text()
    questions = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    rows = [
        {"prompt": template.replace("{prompt}", phrasing), "gold": question["gold"]}
        for question in questions
        for phrasing in question["prompts"]
    ]
    longest = most_characters(args)

    def length(completions, **_):
        return [-min(len(text) / longest, 1.0) for text in completions]

    def reward(completions, gold, **_):
        found = [re.findall(r"-?\d+(?:\.\d+)?", text) for text in completions]
        return [float(bool(numbers) and float(numbers[-1]) == float(key)) for numbers, key in zip(found, gold)]

    class Clock(TrainerCallback):
        def __init__(self):
            self.seconds = []

        def on_step_begin(self, *_, **__):
            self.begun = time.perf_counter()

        def on_step_end(self, *_, **__):
            if args.device == "cuda":
                torch.cuda.synchronize()
            self.seconds.append(time.perf_counter() - self.begun)

    clock = Clock()
    samples = args.questions * 2 * args.group
    config = GRPOConfig(
        output_dir=".",
        max_steps=args.steps,
        per_device_train_batch_size=samples,
        num_generations=args.group,
        max_completion_length=args.new_tokens,
        temperature=1.0,
        top_k=0,
        beta=0.0,
        loss_type="grpo",
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        use_cpu=args.device == "cpu",
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        logging_steps=1,
        disable_tqdm=True,
        seed=1,
        reward_weights=[1.0, LENGTH_WEIGHT],
    )
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[reward, length],
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=None if args.full else lora,
        callbacks=[clock],
    )
    trainer.train()
    lengths = [line["completions/mean_length"] for line in trainer.state.log_history if "completions/mean_length" in line]
    if args.device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        status = Path("/proc/self/status").read_text().splitlines()
        peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024
    print(json.dumps({"seconds": clock.seconds, "completion_tokens": statistics.mean(lengths), "peak_memory": peak}))


def main():
    args = arguments()
    if args.worker:
        worker(args)
        return
    if args.steps < 2:
        sys.exit("--steps must be at least 2: the first step is left out")
    args.alft = str(Path(args.alft).resolve())
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        ours = run_alft(args, Path(folder))
        theirs = run_trl(args, Path(folder))
    seconds = {name: statistics.median(run["seconds"][1:]) for name, run in [("alft", ours), ("trl", theirs)]}
    plugins = statistics.median(ours["plugin_seconds"][1:]) / seconds["alft"]
    from importlib.metadata import version

    result = {
        **{name: version(name) for name in ["torch", "transformers", "trl"]},
        "model": args.model,
        "device": args.device,
        "dtype": args.dtype,
        "threads": args.threads,
        "tuning": "full" if args.full else "lora",
        "samples": [args.questions, 2, args.group],
        "new_tokens": args.new_tokens,
        "alft": ours,
        "trl": theirs,
        "speed_ratio": seconds["trl"] / seconds["alft"],
        # Of a run on a GPU, alft's figure is the CPU's memory.
        "memory_ratio": None if args.device == "cuda" else ours["peak_memory"] / theirs["peak_memory"],
        "plugin_share": plugins,
        "load": [load_before, os.getloadavg()[0]],
    }
    tokens = [run["completion_tokens"] for run in (ours, theirs)]
    print(f"a step of {args.questions} × 2 × {args.group} completions, {result['tuning']}, {args.device}")
    print(f"alft {seconds['alft']:.3f} s ({tokens[0]:.1f} tokens a completion), TRL {seconds['trl']:.3f} s ({tokens[1]:.1f})")
    memory = "" if args.device == "cuda" else f", peak memory {result['memory_ratio']:.2f}"
    print(f"ratio {result['speed_ratio']:.2f}{memory}, plugins {100 * plugins:.2f}% of alft's step")
    if args.out:
        with args.out.open("a") as out:
            out.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
