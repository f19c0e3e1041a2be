#!/usr/bin/env python3
"""Measures alft beside torch and transformers: the same model, the same sizes, in turn, in one run.

    python benches/peer_torch.py --alft target/release/alft --model PATH_OR_SHAPE [--threads 2] [--device cpu|cuda]

MODEL is a folder in Hugging Face's format, or `shape:NAME` of `alft bench policy`, for random weights on both sides.
Each part is measured in processes of its own, alternating between the two, so that the peak of memory is that of the
part, and a machine that slows down slows both. Prints a table of ratios, and appends a line of JSON a part to --out.

The parts:

- decode: `generate` against alft's sampler, at temperature 1 without truncation, all completions of full length. The time
  of the prompts and of the first token is taken off on both sides.
- log-probs: log-probabilities of the completions' tokens, without gradients.
- update-lora, update-full: a policy-gradient step: forward, backward, clipping to norm 1, AdamW. The adapters have the
  rank and the targets that alft reports; torch's come from peft. torch computes logits at completion positions alone and
  uses the fused AdamW, as TRL does.

alft computes a prompt that several sequences share once, and trainers on torch compute it for each sequence. `--group 1`
gives each sequence a prompt of its own.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

# The configurations of `alft bench policy`'s shapes.
SHAPES = {
    "smollm2-135m": ("llama", 49152, 576, 1536, 30, 9, 3),
    "smollm2-360m": ("llama", 49152, 960, 2560, 32, 15, 5),
    "qwen2.5-0.5b": ("qwen2", 151936, 896, 4864, 24, 14, 2),
    "qwen2.5-1.5b": ("qwen2", 151936, 1536, 8960, 28, 12, 2),
}
PARTS = ["decode", "log-probs", "update-lora", "update-full"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alft", help="the alft binary, built with --release", required=True)
    parser.add_argument("--model", help="a folder in Hugging Face's format, or shape:NAME", required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="precision of torch's weights")
    parser.add_argument("--set", action="append", default=[], help="a further setting of `alft bench policy`: KEY=VALUE")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--batch", default="1,8,32")
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--completion-tokens", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=3, help="timed repetitions in a process, after one to warm up")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each side for each part")
    parser.add_argument("--out", type=Path, help="a file of JSON lines to append the results to")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


# One part of torch's side, in a process of its own.


def peak_memory(torch, device):
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def reset_peak(torch, device):
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def shape_config(shape):
    """Returns the configuration of a shape for transformers."""
    from transformers import AutoConfig

    kind, vocabulary, hidden, inner, layers, heads, kv_heads = SHAPES[shape]
    return AutoConfig.for_model(
        kind,
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )


def load(args, dtype):
    from transformers import AutoModelForCausalLM

    options = {"dtype": dtype, "attn_implementation": "sdpa"}
    if not args.model.startswith("shape:"):
        return AutoModelForCausalLM.from_pretrained(args.model, **options).to(args.device)
    config = shape_config(args.model.removeprefix("shape:"))
    return AutoModelForCausalLM.from_config(config, **options).to(args.device)


def worker(args, part):
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
    idle = peak_memory(torch, args.device)
    model = load(args, dtype)
    part, batch = (part["part"], part.get("batch", args.sequences))

    def ids(count, length):
        return torch.randint(model.config.vocab_size, (count, length), device=args.device)

    def prompts(count):
        return ids(-(-count // args.group), args.prompt_tokens).repeat_interleave(args.group, 0)[:count]

    def timed(work):
        times = []
        for round in range(args.repeat + 1):
            start = time.perf_counter()
            work()
            if args.device == "cuda":
                torch.cuda.synchronize()
            if round > 0:
                times.append(time.perf_counter() - start)
        return times

    reset_peak(torch, args.device)
    if part == "decode":
        model.eval()
        model.generation_config.eos_token_id = None
        input_ids = prompts(batch)
        options = {
            "attention_mask": torch.ones_like(input_ids),
            "do_sample": True,
            "temperature": 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "pad_token_id": 0,
        }

        def draw(count):
            with torch.inference_mode():
                drawn = model.generate(input_ids, max_new_tokens=count, **options)
            assert drawn.shape[1] == args.prompt_tokens + count, drawn.shape

        first = statistics.median(timed(lambda: draw(1)))
        seconds = [whole - first for whole in timed(lambda: draw(args.new_tokens))]
        tokens = batch * (args.new_tokens - 1)
    else:
        seconds = timed(update(torch, args, model, part, torch.cat([prompts(batch), ids(batch, args.completion_tokens)], 1)))
        tokens = batch * (args.prompt_tokens + args.completion_tokens)
    peak = peak_memory(torch, args.device)
    print(json.dumps({"tokens": tokens, "seconds": seconds, "peak_memory": peak, "idle_memory": idle}))


def update(torch, args, model, part, sequences):
    """Returns a function that scores the sequences or makes one optimiser step on them."""
    completions = sequences[:, args.prompt_tokens :]

    def log_probs():
        # One row more than tokens: the last prompt token predicts the first token of the completion.
        logits = model(input_ids=sequences, logits_to_keep=args.completion_tokens + 1, use_cache=False).logits[:, :-1]
        chosen = torch.gather(logits, -1, completions.unsqueeze(-1)).squeeze(-1)
        # Row by row, as TRL does: the peak is then lower than that of a whole log_softmax.
        return chosen - torch.stack([row.logsumexp(-1) for row in logits])

    if part == "log-probs":
        model.eval()

        def score():
            with torch.no_grad():
                log_probs()

        return score

    if part == "update-lora":
        from peft import LoraConfig, get_peft_model

        lora = json.loads(os.environ["ALFT_LORA"])
        model = get_peft_model(
            model,
            LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], target_modules=lora["targets"], task_type="CAUSAL_LM"),
        )
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-6, weight_decay=0.0, fused=True)
    advantages = torch.tensor([1.0, -1.0], device=args.device).repeat(len(sequences))[: len(sequences), None]

    def step():
        values = log_probs()
        loss = -(advantages * torch.exp(values - values.detach())).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


# The run of both sides.


def run_alft(args, part):
    settings = {"device": args.device, "parts": part["part"], "profile": "false"}
    if "batch" in part:
        settings["batches"] = part["batch"]
    for name in ["group", "prompt_tokens", "new_tokens", "sequences", "completion_tokens", "repeat"]:
        settings[name] = getattr(args, name)
    command = [args.alft, "bench", "policy", args.model, "--json"]
    for pair in [*(f"{key}={value}" for key, value in settings.items()), *args.set]:
        command += ["--set", pair]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    report = json.loads(run.stdout)
    return report, report["parts"][0]


def run_torch(args, part, lora):
    environment = {
        **os.environ,
        "ALFT_LORA": json.dumps(lora),
        "OMP_NUM_THREADS": str(args.threads),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    command = [sys.executable, __file__, *sys.argv[1:], "--worker", json.dumps(part)]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def machine(args):
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].split(":", 1)[1].strip() if models else cpu
    facts = {"cpu": cpu, "threads": args.threads}
    if args.device == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        facts["gpu"] = subprocess.run(query, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return facts


def versions():
    from importlib.metadata import version

    here = Path(__file__).parent
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"], cwd=here, stdout=subprocess.PIPE, text=True
    )
    names = ["torch", "transformers", "peft"]
    return {"commit": described.stdout.strip() or "unknown", **{name: version(name) for name in names}}


def main():
    args = arguments()
    if args.worker:
        worker(args, json.loads(args.worker))
        return
    if args.model.startswith("shape:") and args.model.removeprefix("shape:") not in SHAPES:
        sys.exit(f"there is no shape {args.model!r}; there are {', '.join(SHAPES)}")
    parts = []
    for name in args.parts.split(","):
        if name not in PARTS:
            sys.exit(f"there is no part {name!r}; there are {', '.join(PARTS)}")
        batches = args.batch.split(",") if name == "decode" else [None]
        parts += [{"part": name} if batch is None else {"part": name, "batch": int(batch)} for batch in batches]

    context = {**versions(), **machine(args), "dtype": args.dtype, "model": args.model}
    print(json.dumps(context))
    print(f"{'part':<14}{'alft tok/s':>12}{'torch tok/s':>13}{'ratio':>8}{'alft peak':>12}{'torch peak':>12}{'ratio':>8}  load")
    for part in parts:
        ours, theirs = [], []
        load_before = os.getloadavg()[0]
        for _ in range(args.rounds):
            report, measured = run_alft(args, part)
            ours.append(measured)
            theirs.append(run_torch(args, part, report["config"]["lora"]))
        assert ours[0]["tokens"] == theirs[0]["tokens"], (ours[0], theirs[0])
        tokens = ours[0]["tokens"]
        alft_seconds = statistics.median(run["seconds"] for run in ours)
        torch_seconds = statistics.median(statistics.median(run["seconds"]) for run in theirs)
        alft_peak, torch_peak = (max(run["peak_memory"] for run in runs) for runs in (ours, theirs))
        result = {
            **context,
            **part,
            "sizes": {key: value for key, value in report["config"].items() if key != "lora"},
            "lora": report["config"]["lora"],
            "alft_dtype": report["dtype"],
            "tokens": tokens,
            "alft_seconds": [run["seconds"] for run in ours],
            "alft_best_seconds": min(run["best_seconds"] for run in ours),
            "torch_seconds": [run["seconds"] for run in theirs],
            "alft_tokens_per_second": tokens / alft_seconds,
            "torch_tokens_per_second": tokens / torch_seconds,
            "speed_ratio": torch_seconds / alft_seconds,
            "alft_peak_memory": alft_peak,
            "torch_peak_memory": torch_peak,
            "torch_idle_memory": max(run["idle_memory"] for run in theirs),
            "memory_ratio": alft_peak / torch_peak,
            "limits": report["limits"],
            "bandwidth_share": statistics.median(run["bandwidth_share"] for run in ours),
            "arithmetic_share": statistics.median(run["arithmetic_share"] for run in ours),
            "load": [load_before, os.getloadavg()[0]],
        }
        name = part["part"] + (f" × {part['batch']}" if "batch" in part else "")
        print(
            f"{name:<14}{tokens / alft_seconds:>12.1f}{tokens / torch_seconds:>13.1f}{result['speed_ratio']:>8.2f}"
            f"{alft_peak / 1e9:>9.2f} GB{torch_peak / 1e9:>9.2f} GB{result['memory_ratio']:>8.2f}"
            f"  {load_before:.1f}–{result['load'][1]:.1f}",
            flush=True,
        )
        if args.out:
            with args.out.open("a") as out:
                out.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
