#!/usr/bin/env python3
"""Writes 30 conversations as transformers does, by the chat template of a model's folder.

    python chat.py FOLDER chat.json
"""

import json
import sys

import transformers

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


tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
named = {key: value for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
cases = []
for messages in conversations():
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    cases.append({"messages": messages, "text": text})
data = {"transformers": transformers.__version__, "template": tokenizer.chat_template, "tokens": named, "cases": cases}
open(sys.argv[2], "w").write(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
