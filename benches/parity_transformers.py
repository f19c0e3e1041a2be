#!/usr/bin/env python3
"""Compares what alft computes from a real model with what the Python library transformers computes, in f32 on the CPU.

    python benches/parity_transformers.py MODEL [--gguf] [--gradients] [--prompts 20] [--out results.json]

MODEL is a folder in Hugging Face's format, or a GGUF file, which transformers dequantises by itself. The packages needed are
torch, transformers and peft. alft is built and run by cargo, as the ignored test
`a_model_answers_the_questions_of_a_parity_script` of the crate alft-policy. Compared are:

- the tokens of 30 conversations by the model's chat template, if it has one, and those of 20 texts;
- the text of random tokens, special ones among them;
- the log-probabilities of the tokens of the 20 texts, which must differ by less than 1e-3;
- 64 tokens of greedy decoding after 20 prompts. Where transformers' two best logits are less than 1e-4 apart, a difference is
  a tie and no failure;
- with --gguf, an export in f16, which transformers reads: the tokens of the texts, and their log-probabilities, which must
  differ by less than 0.05;
- with --gradients, the gradient of the mean cross-entropy of 4 texts with respect to all weights, and to adapters of rank 8.
  The norm of a weight's difference must be less than 1e-3 of that of its gradient. It needs memory for six copies of the
  model.

Prints a table, and ends with 1 if something differs.
"""

import argparse
import importlib.metadata
import json
import random
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from parity import ROOT, TEXTS, ask

LOG_PROB, LOG_PROB_F16, TIE, GRADIENT = 1e-3, 5e-2, 1e-4, 1e-3
# Weights move by this many times their gradients, so that the difference of two f32 weights has its digits.
SCALE = 1e4


def scored(model, sequences):
    """The log-probabilities of tokens from the second one on."""
    found = []
    for tokens in sequences:
        ids = torch.tensor([tokens])
        of_all = torch.log_softmax(model(ids).logits[0, :-1].float(), -1)
        found.append(of_all.gather(1, ids[0, 1:, None])[:, 0])
    return found


def greedy(model, prompts, count):
    """Greedy decoding up to an end-of-sequence token."""
    found = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids)
        settings = {"do_sample": False, "max_new_tokens": count, "pad_token_id": 0}
        found.append(model.generate(ids, attention_mask=mask, **settings)[0, len(prompt) :].tolist())
    return found


def compare_greedy(model, prompts, wanted, got):
    """Returns the prompts whose tokens are the same, those that part at a tie, and the others."""
    same, ties, others = 0, [], []
    for index, (prompt, want, have) in enumerate(zip(prompts, wanted, got)):
        if want == have:
            same += 1
            continue
        at = next((i for i, (a, b) in enumerate(zip(want, have)) if a != b), min(len(want), len(have)))
        best = torch.topk(model(torch.tensor([prompt + want[:at]])).logits[0, -1].float(), 2).values
        gap = (best[0] - best[1]).item()
        (ties if gap < TIE else others).append(f"prompt {index}, token {at}: best logits {gap:.1e} apart")
    return same, ties, others


def gradients(model, sequences):
    """The gradient of the mean cross-entropy over all tokens but the first ones, by the names of trainable weights."""
    for weight in model.parameters():
        weight.grad = None
    count = sum(len(tokens) - 1 for tokens in sequences)
    for tokens in sequences:
        (-scored(model, [tokens])[0].sum() / count).backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def moved(before, after):
    """The largest difference between alft's gradient, which weights moved by, and transformers', relative."""
    worst, at = 0.0, None
    for name, (weight, gradient) in before.items():
        own = (weight.double() - after[name].double()) / SCALE
        error = ((own - gradient.double()).norm() / gradient.double().norm().clamp_min(1e-30)).item()
        if not error <= worst:
            worst, at = error, name
    return worst, at


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("--gguf", action="store_true")
    arguments.add_argument("--gradients", action="store_true")
    arguments.add_argument("--prompts", type=int, default=20, help="texts that greedy decoding goes on from")
    arguments.add_argument("--out", type=Path, help="appends the results as a line of JSON")
    arguments = arguments.parse_args()
    path = arguments.model.resolve()
    source = (path, {}) if path.is_dir() else (path.parent, {"gguf_file": path.name})
    tokenizer = AutoTokenizer.from_pretrained(source[0], **source[1])
    model = AutoModelForCausalLM.from_pretrained(source[0], dtype=torch.float32, **source[1]).eval()
    torch.manual_seed(0)

    data = json.loads((ROOT / "host/policy/tests/data/chat.json").read_text())
    conversations = data["conversations"] if tokenizer.chat_template else []
    texts = [tokenizer(text)["input_ids"] for text in TEXTS]
    chance = random.Random(0)
    special, count = tokenizer.all_special_ids, len(tokenizer)
    decoded = [
        [chance.choice(special) if chance.random() < 0.2 else chance.randrange(count) for _ in range(12)]
        for _ in range(200)
    ]
    prompts = [tokens[: max(2, 2 * len(tokens) // 3)] for tokens in texts[: arguments.prompts]]
    trained = texts[:4]
    rows, failed, results = [], [], {}

    def row(name, result, fine, *details):
        rows.append((name, result, "" if fine else "DIFFERS"))
        results[name] = {"result": result, "same": fine, "details": list(details)}
        failed.extend([] if fine else [name])

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        adapted = None
        if arguments.gradients:
            from peft import LoraConfig, get_peft_model

            base = AutoModelForCausalLM.from_pretrained(source[0], dtype=torch.float32, **source[1])
            config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"])
            adapted = get_peft_model(base, config)
            with torch.no_grad():
                for name, weight in adapted.named_parameters():
                    if "lora_B" in name:
                        weight.normal_(0, 0.02)
            adapted.save_pretrained(out / "adapter")
        questions = {
            "model": str(path),
            "adapter": str(out / "adapter") if arguments.gradients else None,
            "conversations": conversations,
            "texts": TEXTS,
            "decoded": decoded,
            # The gradients are those of the first ones.
            "sequences": trained if arguments.gradients else texts,
            "prompts": prompts,
            "max_new_tokens": 64,
            "gguf": "f16" if arguments.gguf else None,
            "gradient_scale": SCALE if arguments.gradients else None,
            "out": str(out),
        }
        got = ask({**questions, "sequences": texts, "gradient_scale": None}, out)
        if conversations:
            render = {"tokenize": True, "add_generation_prompt": True, "return_dict": False}
            wanted = [tokenizer.apply_chat_template(messages, **render) for messages in conversations]
            same = sum(a == b for a, b in zip(wanted, got["conversations"]))
            row("tokens of conversations", f"{same} of {len(wanted)} the same", same == len(wanted))
        same = sum(a == b for a, b in zip(texts, got["texts"]))
        row("tokens of texts", f"{same} of {len(texts)} the same", same == len(texts))
        wanted = [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in decoded]
        other = [(a, b) for a, b in zip(wanted, got["decoded"]) if a != b]
        row("text of random tokens", f"{len(decoded) - len(other)} of {len(decoded)} the same", not other, *other[:3])
        with torch.no_grad():
            wanted_log_probs = torch.cat(scored(model, texts))
            largest = (wanted_log_probs - torch.tensor(sum(got["log_probs"], []))).abs().max().item()
            row(f"{len(wanted_log_probs)} log-probabilities", f"at most {largest:.1e} apart", largest < LOG_PROB)
            same, ties, others = compare_greedy(model, prompts, greedy(model, prompts, 64), got["greedy"])
        result = f"{same} of {len(prompts)} the same, {len(ties)} part at a tie"
        row("greedy decoding", result, not others, *ties, *others)
        if arguments.gguf:
            exported = {"gguf_file": "model.gguf"}
            reader = AutoTokenizer.from_pretrained(out / "exported", **exported)
            same = sum(tokens == reader(text)["input_ids"] for tokens, text in zip(texts, TEXTS))
            row("tokens of the GGUF export", f"{same} of {len(texts)} the same", same == len(texts))
            reader = AutoModelForCausalLM.from_pretrained(out / "exported", dtype=torch.float32, **exported).eval()
            with torch.no_grad():
                largest = (wanted_log_probs - torch.cat(scored(reader, texts))).abs().max().item()
            row("log-probabilities of it", f"at most {largest:.1e} apart", largest < LOG_PROB_F16)
        if arguments.gradients:
            ask({**questions, "gguf": None, "conversations": [], "texts": [], "decoded": [], "prompts": []}, out)
            full = gradients(model, trained)
            weights = dict(model.named_parameters())
            before = {name: (weights[name].detach(), gradient) for name, gradient in full.items()}
            worst, at = moved(before, load_file(out / "full/model.safetensors"))
            row(f"gradients of {len(before)} weights", f"at most {worst:.1e} apart ({at})", worst < GRADIENT)
            weights = dict(adapted.named_parameters())
            # The files leave the adapter's name out.
            before = {
                name.replace(".default", ""): (weights[name].detach(), gradient)
                for name, gradient in gradients(adapted, trained).items()
            }
            worst, at = moved(before, load_file(out / "lora/adapter_model.safetensors"))
            row(f"gradients of {len(before)} adapters", f"at most {worst:.1e} apart ({at})", worst < GRADIENT)

    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")}
    print(f"{path.name}, " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    for name, result, differs in rows:
        print(f"{name:28} {result} {differs}".rstrip())
    for name in results:
        for detail in results[name]["details"]:
            print(f"  {name}: {detail}")
    if arguments.out:
        with arguments.out.open("a") as file:
            file.write(json.dumps({"model": path.name, "versions": versions, "results": results}) + "\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
