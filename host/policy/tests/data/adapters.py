#!/usr/bin/env python3
"""Makes an adapter of PEFT for two checkpoints of families.py, with modules that are trained whole.

    python adapters.py families adapters

A folder each, as PEFT saves it, and expected.json with the log-probabilities of families.py's sequences in float64.
"""

import json
import sys
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model

from families import sequences

ADAPTERS = {
    "llama": {"use_rslora": True, "modules_to_save": ["embed_tokens", "lm_head", "norm"]},
    # The head of this one is its embedding.
    "qwen2": {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
}


def make(name, base, folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    settings = {"r": 2, "lora_alpha": 3, "lora_dropout": 0.1, "target_modules": ["q_proj", "down_proj"]}
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings, **ADAPTERS[name])).eval()
    generator = torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = name
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    model.double()
    log_probs = []
    for tokens in sequences():
        ids = torch.tensor([tokens])
        of_all = torch.log_softmax(model(ids).logits[0, :-1], -1)
        log_probs.append(of_all.gather(1, ids[0, 1:, None])[:, 0].tolist())
    expected = {"peft": peft.__version__, "log_probs": log_probs}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    for name in ADAPTERS:
        make(name, Path(sys.argv[1]) / name, Path(sys.argv[2]) / name)
