#!/usr/bin/env python3
"""Writes a model of random weights in Hugging Face's format, for measurements where no weights can be had.

    python benches/random_model.py SHAPE TOKENIZER_DIR OUT_DIR

SHAPE is one of `alft bench policy`'s, such as smollm2-135m. TOKENIZER_DIR has the tokenizer's files.
"""

import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from peer_torch import shape_config

shape, tokenizer, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
torch.manual_seed(1)
AutoModelForCausalLM.from_config(shape_config(shape), dtype=torch.bfloat16).save_pretrained(out)
for file in tokenizer.glob("*token*.json"):
    shutil.copy(file, out)
