#!/usr/bin/env python3
"""Writes conversations by a chat template in the manner of Gemma's, and their tokens, as transformers does.

    python gemma_chat.py gemma_chat.json

The roles are `user` and `model`, the system's message is the beginning of the first turn, and the template begins with
`<bos>`, which the tokenizer also adds to texts of its own.
"""

import json
import sys

import transformers

TEMPLATE = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set opening = messages[0]['content'] + '\n\n' -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set opening = '' -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('roles must alternate between user and assistant') }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (opening if loop.first else '') }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- else -%}
        {%- for part in message['content'] -%}
            {{ part['text'] | trim if part['type'] == 'text' else '<start_of_image>' }}
        {%- endfor -%}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}
"""
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
MERGES = [("▁", "t"), ("e", "r"), ("u", "s"), ("us", "er"), ("m", "o"), ("d", "e"), ("mo", "de"), ("mode", "l")]
QUESTIONS = ["What is 2 + 2?", "  leading and trailing  ", "Zeile eins\nZeile zwei", "😀 {{ x }}", "a <b> & a c"]


def tokenizer():
    characters = [chr(code) for code in range(33, 127)] + ["\n", "▁"]
    pieces = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)] + characters + ["".join(pair) for pair in MERGES]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    made = transformers.GemmaTokenizer(vocab=vocab, merges=MERGES, add_bos_token=True)
    made.add_special_tokens({"additional_special_tokens": SPECIAL[5:]})
    made.chat_template = TEMPLATE
    return made


def conversations():
    for system in [None, "Answer with a number."]:
        for first in range(5):
            messages = [] if system is None else [{"role": "system", "content": system}]
            for turn in range(3):
                role = "user" if turn % 2 == 0 else "assistant"
                messages.append({"role": role, "content": QUESTIONS[(first + turn) % 5]})
            yield messages


made = tokenizer()
cases = []
for messages in conversations():
    text = made.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    tokens = made.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=False)
    cases.append({"messages": messages, "text": text, "tokens": tokens})
data = {
    "transformers": transformers.__version__,
    "template": TEMPLATE,
    "tokens": {key: value for key, value in made.special_tokens_map.items() if isinstance(value, str)},
    "own_tokens": made("user").input_ids,
    "tokenizer": json.loads(made.backend_tokenizer.to_str()),
    "cases": cases,
}
open(sys.argv[1], "w").write(json.dumps(data, ensure_ascii=False) + "\n")
