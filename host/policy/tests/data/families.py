#!/usr/bin/env python3
"""Makes a small random checkpoint of each model family with transformers, and what transformers computes with it.

    python families.py families

A folder each: config.json, model.safetensors, tokenizer.json, and expected.json with the log-probabilities of the tokens
of two sequences, the tokens that greedy decoding adds to a prompt, and for each weight the norm of the gradient of the
mean cross-entropy over both sequences, and its product with cos 0, cos 1, and so on. Everything in float64.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

VOCABULARY = 40
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
# Windows are shorter than the sequences.
GEMMA3 = {
    "hidden_size": 20,
    "num_hidden_layers": 3,
    "head_dim": 8,
    "query_pre_attn_scalar": 12,
    "sliding_window": 6,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "rope_parameters": {
        "full_attention": LINEAR,
        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    },
}
FAMILIES = {
    "llama": ("Llama", {"rope_parameters": LLAMA3, "attention_bias": True}),
    "mistral": ("Mistral", {"sliding_window": 8, "head_dim": 8}),
    "qwen2": ("Qwen2", {"rope_parameters": YARN, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "smollm3": ("SmolLM3", {"rope_parameters": LINEAR, "num_hidden_layers": 4}),
    "gemma3": ("Gemma3", GEMMA3),
}


def sequences():
    return [[(7 * i + 3) % VOCABULARY for i in range(n)] for n in (40, 9)]


def make(name, folder):
    prefix, differences = FAMILIES[name]
    config_class = "Gemma3TextConfig" if name == "gemma3" else f"{prefix}Config"
    config = getattr(transformers, config_class)(**{**SIZES, **differences})
    model = getattr(transformers, f"{prefix}ForCausalLM")(config).double().eval()
    generator = torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for key, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            center = 1 if key.endswith("norm.weight") and name != "gemma3" else 0
            weight.copy_((center + 0.2 * noise if key.endswith("norm.weight") else 0.3 * noise).float())
    model.float().save_pretrained(folder)
    tokenizer = Tokenizer(WordLevel({f"t{i}": i for i in range(VOCABULARY)}, unk_token="t2"))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "generation_config.json").unlink(missing_ok=True)

    model.double()
    log_probs, loss, count = [], 0.0, 0
    for tokens in sequences():
        ids = torch.tensor([tokens])
        of_all = torch.log_softmax(model(ids).logits[0, :-1], -1)
        of_tokens = of_all.gather(1, ids[0, 1:, None])[:, 0]
        log_probs.append(of_tokens.tolist())
        loss, count = loss - of_tokens.sum(), count + len(of_tokens)
    (loss / count).backward()
    gradients = {}
    for key, weight in model.named_parameters():
        gradient = weight.grad.flatten()
        wave = torch.cos(torch.arange(len(gradient), dtype=torch.float64))
        gradients[key] = [gradient.norm().item(), (gradient @ wave).item()]
    prompt = sequences()[1]
    with torch.no_grad():
        for _ in range(20):
            prompt.append(model(torch.tensor([prompt])).logits[0, -1].argmax().item())
    expected = {
        "transformers": transformers.__version__,
        "log_probs": log_probs,
        "greedy": prompt[len(sequences()[1]) :],
        "gradients": gradients,
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    for name in FAMILIES:
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        make(name, folder)
