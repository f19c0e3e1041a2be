#!/usr/bin/env python3
"""Writes 30 conversations as transformers does, by the chat templates of several families.

    python chat.py FOLDER chat.json

FOLDER is a model's, whose template is one of them; the others come with the Python library TRL.
"""

import datetime
import json
import sys

from importlib.metadata import version
from pathlib import Path

import transformers
import trl
from transformers.utils import chat_template_utils

FAMILIES = ["llama3", "llama3_2", "qwen2_5", "qwen3", "gemma3", "deepseek_r1_distill"]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TODAY = datetime.datetime(2024, 7, 26)

SYSTEMS = [None, "Answer with a number.", "Ärger? Nein: 答えは一つ。\nBe brief. "]
QUESTIONS = ["What is 2 + 2?", "  leading and trailing  ", "Zeile eins\nZeile zwei", "😀 { % braces % } {{ x }}", "it's \"quoted\" & <b>"]


def conversations():
    for system in SYSTEMS:
        for turns in (1, 3):
            for first in range(5):
                messages = [] if system is None else [{"role": "system", "content": system}]
                for turn in range(turns):
                    role = "user" if turn % 2 == 0 else "assistant"
                    messages.append({"role": role, "content": QUESTIONS[(first + turn) % 5]})
                yield messages


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return TODAY


def rendered(template, tokens):
    texts, _ = chat_template_utils.render_jinja_template(
        list(conversations()), chat_template=template, tools=None, documents=None, add_generation_prompt=True, **tokens
    )
    return {"tokens": tokens, "template": template, "texts": texts}


chat_template_utils.datetime = Clock
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
own = {key: value for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
templates = {"smollm2": rendered(tokenizer.chat_template, own)}
for name in sys.argv[3:] or FAMILIES:
    source = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()
    templates[name] = rendered(source, TOKENS)
versions = {name: version(name) for name in ["transformers", "trl"]}
data = {"versions": versions, "conversations": list(conversations()), "templates": templates}
Path(sys.argv[2]).write_text(json.dumps(data, indent=0, ensure_ascii=False) + "\n")
