#!/usr/bin/env python3
"""Writes the fuzzers' first inputs into seeds/TARGET/: files of this repository, and some that are made here."""

import json
import re
import struct
from pathlib import Path

here = Path(__file__).resolve().parent
root = here.parent.parent
data = root / "host/policy/tests/data"


def write(target, name, content):
    folder = here / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


# Run files: the examples, and one that has every table, with overrides.
for path in root.glob("examples/**/*.toml"):
    if path.name != "Cargo.toml":
        write("run_file", f"{path.parent.name}-{path.name}", path.read_bytes())
write("run_file", "tables", """output = "runs/a"
export = { dtype = "bf16", gguf = "q8_0" }
model = { path = "m", quantisation = "q4_0", lora = { rank = 4, alpha = 8.0, targets = ["q_proj"], rslora = true } }
prompts = { train = "t.jsonl", eval = "e.jsonl", template = "chat", system = "Add.", date = "2024-07-26" }
sampling = { max_new_tokens = 32, temperature = 1.15, top_p = 0.9, top_k = 5, min_p = 0.1, stop = ["\\n"] }
game = { group = 4, bundles_per_step = 2, questions = "adaptive", dynamic_sampling = { max_rounds = 2 } }
target = { dynamics = "average", rate = 0.5 }
limits = { fuel_base = 1000000, memory = 1048576 }
eval = { bundles = 2, group = 2, every = 5 }

[warm_start]
data = "w.jsonl"
steps = 20
schedule = { learning_rate = 5e-3, warmup_steps = 20 }

[train]
steps = 6
checkpoint_every = 5
keep = 2
best = { metric = "reward" }
loss = { beta = 0.02, policy_loss = "cispo", kl = "k3", aggregation = "sum" }
adamw = { weight_decay = 0.1, max_grad_norm = 1.0 }

[[plugin]]
name = "a"
path = "a.wasm"
weight = { from = 0.0, to = 1.0, over = 4, shape = "cosine" }
config = { k = 2, table = { a = [1, 2.5, "x"] } }
on_error = "drop"
limits = { fuel_base = 2000000 }
---
train.steps=9
plugin."a".weight=0.5
game.advantage={baseline="leave-one-out"}
""")

# Lines: the first two of every file of questions, worked examples, completions and games.
for path in sorted(root.glob("examples/**/*.jsonl")):
    lines = path.read_text().splitlines()[:2]
    write("data", f"{path.parent.name}-{path.stem}", "\n".join(line for line in lines if len(line) < 3000))
write("data", "conversation", """\ufeff{"id": 7, "prompts": ["1+1=", [{"role": "system", "content": "Add."},
{"id": 7, "prompts": ["1+1=", [{"role": "system", "content": "Add."}, {"role": "user", "content": "1 1"}]], "gold": 2.50}
""".partition("\n")[2])
write("data", "bundles", """{"id": "a", "bundle": "q", "prompt": "1+1=", "completions": ["2", "3"], "gold": 2}

{"prompt": "2+2=", "completions": ["4"], "reference": "4", "level": {"a": [1e3]}}
{"id": "b", "bundle": "q", "prompt": "add 1 and 1", "completions": ["2"]}""")

# Models. The first letter chooses the file: see the targets.
families = sorted(path for path in (data / "families").iterdir() if path.is_dir())
for folder in families:
    write("model", f"{folder.name}-config", b"0" + (folder / "config.json").read_bytes())
    write("weights", folder.name, b"0" + (folder / "model.safetensors").read_bytes())
write("model", "tokenizer", b"1" + (families[0] / "tokenizer.json").read_bytes())
tokenizers = json.loads((data / "gguf/tokenizers.json").read_text())
letters = {letter: id for id, letter in enumerate("1+=2é\u2581Ġ")}
models = {
    "bpe": {"type": "BPE", "vocab": {**letters, "1+": 7}, "merges": [["1", "+"]], "byte_fallback": True},
    "unigram": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["1", -1.0], ["+1", -2.5]]},
    "wordpiece": {"type": "WordPiece", "unk_token": "1", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 9, "vocab": letters},
}
for name, model in models.items():
    write("model", f"tokenizer-{name}", "1" + json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 0, "content": "<s>", "single_word": False, "lstrip": True, "rstrip": False,
                          "normalized": False, "special": True}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace",
                       "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\s+(?!\\S)|\\p{N}"}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                           {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                           {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False},
        "model": model}))
template = "{% for m in messages %}{{ '<s>' + m['role'] + '\\n' + m.content | trim }}{% endfor %}{% if x is defined %}" \
           "{{ raise_exception('no') }}{% endif %}{% set d = strftime_now('%d %B') %}{{ bos_token ~ d[:3] | upper }}"
write("model", "tokenizer-config", "2" + json.dumps({
    "bos_token": {"content": "a"}, "eos_token": "b", "add_bos_token": True, "chat_template": template,
    "added_tokens_decoder": {"0": {"content": "a", "special": True}}}))
write("model", "templates", "2" + json.dumps({"chat_template": [{"name": "default", "template": template}]}))
write("model", "generation-config", "3" + json.dumps({"bos_token_id": 0, "eos_token_id": [1, 2]}))
write("model", "chat-template", "4" + template)
write("weights", "index", "1" + json.dumps({"metadata": {"total_size": 9}, "weight_map": {
    "model.embed_tokens.weight": "a.safetensors", "lm_head.weight": "a.safetensors"}}))
for path in (data / "gguf").glob("*.gguf"):
    write("gguf", path.stem, path.read_bytes())
for folder in (data / "adapters").iterdir():
    write("adapter", f"{folder.name}-config", b"0" + (folder / "adapter_config.json").read_bytes())
    write("adapter", folder.name, b"1" + (folder / "adapter_model.safetensors").read_bytes())

# Components: those that are built.
for path in (root / "target/alft/component/wasm32-unknown-unknown/release").glob("*.wasm"):
    write("open", path.name, path.read_bytes())

# Mathematical answers: the expected values of the tests. A gold answer, and a completion below it.
for name in ["math_answers", "math_reported"]:
    for line in (root / f"plugins/math/tests/data/{name}.jsonl").read_text().splitlines():
        case = json.loads(line)
        gold = case["gold"].replace("\n", " ")
        write("answers", f"{name}-{case['id']}", f"{gold}\n{case['pred'][-1500:]}")

# Data of plugins' tests.
for path in root.glob("plugins/*/kit.json"):
    write("kit", path.parent.name, path.read_bytes())
write("kit", "all", json.dumps({"question": {"prompt": "p", "gold": "1", "wrong": "2", "metadata": {"a": [1.5, None]}},
                                "answers": ["a", "b"], "verifiers": ["v", "w"], "completion": "{answer} {answer}"}))

# A lock.
conformance = {"passed": 9, "failed": 0, "crashed": 0, "skipped": 2, "version": 3}
for roles, form in [(["reader", "verifier"], "component"), (["objective"], "native-process")]:
    write("lock", form, f"""version = 1
wasmtime = 48

[[plugin]]
name = "a"
blake3 = "{'0f' * 32}"
contract = "1.0.0"
form = "{form}"
roles = {json.dumps(roles)}
imports = ["alft:objective/diagnostics@1.0.0"]
fingerprint = "rustc 1.95"

[plugin.claims]
plugin = "a 0.1.0"
config = '{{"k":2}}'
score_range = [0.0, 1.0]
concave = true
gradient = false
needs_reference = false

[plugin.conformance]
""" + "".join(f"{key} = {value}\n" for key, value in conformance.items()))


# Postcard: numbers in seven bits a byte, lists and texts after their length.
def number(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def text(value):
    return number(len(value.encode())) + value.encode()


def some(value):
    return b"\0" if value is None else b"\1" + value


def entries(values):
    return number(len(values)) + b"".join(values)


def real(value):
    return struct.pack("<d", value)


def prompt(gold="2"):
    return text("q") + text("1 + 1?") + some(gold and text(gold)) + text("{}")


READER, VERIFIER, OBJECTIVE, GRADER = range(4)
texts = entries([prompt() + entries([text("2"), text("it is 3/4")])])
answer = text("2") + number(1) + entries([real(1.0)]) + real(0.5) * 6
bundle = text("b") + entries([text("v")]) + real(0.0) + b"\0" + entries([prompt() + number(2) + entries([answer] * 2)])
batches = {READER: texts, VERIFIER: texts, OBJECTIVE: entries([bundle]), GRADER: texts}
outputs = {
    READER: b"\0" + entries([entries([some(text("2")), some(None)])]),
    VERIFIER: b"\1" + entries([entries([real(1.0), real(0.0)])]),
    OBJECTIVE: b"\2" + entries([real(0.5) + entries([entries([real(1.0), real(-1.0)])]) + some(real(0.25))]),
}
outputs[GRADER] = outputs[VERIFIER]
failure = b"\1" + number(8) + text("no gold answer")
limits = b"".join(map(number, [1000, 10, 10_000, 65536, 1 << 26, 10_000, 1 << 19, 128, 1 << 24, 65536, 100, 1000,
                               1 << 26, 180_000]))


def frames(*messages):
    return b"".join(struct.pack("<I", len(message)) + message for message in messages)


manifest = b"\0" + text("a") + text("0.1.0") + text("A plugin.") + some(real(0.0) + real(1.0)) + b"\0\0\0"
for role in range(4):
    opened = b"\0" + entries([number(role)])
    reply = b"\0" + outputs[role] + entries([text("a line")])
    write("wire", f"role-{role}", frames(opened, manifest, reply))
    write("wire", f"failing-{role}", frames(opened, manifest, failure + entries([]), reply, failure + entries([])))
    write("wire", f"request-{role}", frames(b"\1" + text("{}") + number(role) + batches[role], b"\0" + text("{}")))
write("wire", "refused", frames(b"\1" + text("cannot open")))
limits_now = limits + number(1 << 26)
write("wire", "compile", frames(limits_now + entries([b"\0", b"a"]), b"\0" + text("code"), text("/a.so") + limits_now))


# A ledger's records. The first letter chooses the frames: see the target.
def chunks(*records):
    return b"".join(struct.pack("<H", len(record)) + record for record in records)


header = b"\0" + number(1) + text("0.1.0") + number(48) + text("x86_64-unknown-linux-gnu")
plugin = b"\1" + text("a") + text("0f" * 32) + b"\0" + text("{}") + limits
for role in range(4):
    part = number(0) + number(1) + some(None)
    halves = [part + failure + number(9)] + [
        number(0) + number(1) + some(number(at) + number(at + 1)) + b"\0" + outputs[role] + number(7) for at in range(2)]
    calls = entries([part + b"\0" + outputs[role] + number(1000)])
    batch = b"\2" + number(1) + number(0) + number(role) + batches[role]
    write("ledger", f"role-{role}", b"2" + chunks(plugin, batch + calls, batch + entries(halves)))
literals = bytes([0xF0, len(plugin) - 15]) + plugin
write("ledger", "bodies", b"1" + chunks(struct.pack("<I", len(plugin)) + literals))
write("ledger", "bytes", b"0" + frames(header))

# Words that inputs are made of.
keys = set(re.findall(r"`([a-z_.]{3,40})`", (root / "docs/run-file.md").read_text()))
words = {"run_file": sorted(keys | {"[[plugin]]", "\\x0A---\\x0A", "crate", "native", "component"})}
source = "".join(path.read_text() for path in (root / "host/policy/src").glob("**/*.rs"))
words["model"] = sorted(set(re.findall(r'"([A-Za-z_]{4,40})"', source)))
words["gguf"] = sorted(set(re.findall(r'"((?:tokenizer|general|blk|token)[a-z_.0-9]+)"', source)))
for target, list in words.items():
    lines = [f'"{word}"' for word in list]
    (here / "seeds" / f"{target}.dict").write_text("\n".join(lines) + "\n")
