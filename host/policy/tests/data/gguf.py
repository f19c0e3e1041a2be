#!/usr/bin/env python3
"""Makes small GGUF files, and what the tokenizers in them give.

    python gguf.py families gguf

Needs the packages transformers, tokenizers, sentencepiece and gguf (llama.cpp's own writer). Makes, in gguf:

- a file of each family in families, with the same weights, in the layout and under the names of llama.cpp's
  convert_hf_to_gguf.py;
- byte-level.gguf, a byte-level BPE, and tokenizers.json with the tokens of some texts for each kind of pre-tokenizer,
  from the Python libraries transformers and tokenizers. The kinds that transformers does not have are built from the
  regular expressions in llama.cpp's llama-vocab.cpp;
- sentencepiece.gguf and gemma.gguf, trained by SentencePiece, which gives the tokens of the first; those of the second
  are from transformers, and so is the text of random tokens of both.
"""

import io
import json
import math
import sys
from pathlib import Path
from random import Random

# This file must not be found in the place of the package of its name.
sys.path.pop(0)

import gguf
import numpy as np
import sentencepiece
from safetensors.numpy import load_file
from tokenizers import AddedToken, Regex, Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers.integrations.gguf import gguf_tokenizer_mapping as mapping
from transformers.models.gpt2.tokenization_gpt2 import GPT2Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

CORPUS = (
    "The first player samples answers, and the second one values their distribution: are they right, diverse, the same "
    "for every phrasing of the question? It's a game of two players, and we've got 100 questions, 2048 answers and 365 "
    "days. I'll say that they don't agree; you'd better ask again. def add(a, b):\n    return a + b\n\n\nfor i in "
    "range(10):\n\tprint(i, 3.14159)\n Äpfel und Öl, naïve café, нещо на Български, 我想在工作, かな, 한국어. "
) * 4
TEXTS = [
    "",
    " ",
    "   three spaces  two ",
    "\n\n \t\t\n  \n",
    "The players' answers aren't the SAME, I'VE said; we'Re sure.",
    "3 33 333 3333 33333 12345678 3.14 1,000 ½ ² ٣",
    "def add(a, b):\n    return a+b  # sum\n\n\tprint(add(1, 2))",
    "naïve café nai\u0308ve Ä A\u0308 ﬁ",
    "我想在工作1314天～ かなカナ 한국어 ไทย",
    "🦙🚀 (normal) 😶\u200d🌫️ e\u0301",
    "нещо на Български ''''''```````\"\"\"......!!!!!!",
    "$x^2 + <y> = ~z|`w`_{i}_~ http://a.b/c?d=e&f",
    "HTTPServer camelCase XMLHttp ÀÉÎ iPhone",
    "a\r\nb\r\n\r\nc \r\n",
    "<s>first<think> second </s>",
    "no\u00a0break \u3000wide\u2028line   ",
    "an unreachable word",
]
# Regular expressions of llama.cpp, each applied to what the one before left.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
LLAMA_CPP = {
    "deepseek-llm": [
        "[\r\n]",
        r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
        r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
        r"\s+$",
        "[一-龥ࠀ-一가-퟿]+",
        r"\p{N}+",
    ],
    "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    "deepseek-v3": [
        r"\p{N}{1,3}",
        "[一-龥぀-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
    ],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "seed-coder": [
        r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
    ],
    "smollm": [r"\p{N}", GPT2],
}


def permute(weight, heads):
    """As convert_hf_to_gguf.py does for the architectures that rotate neighbours."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def llama3_factors(rope, dim):
    """As convert_hf_to_gguf.py does."""
    freqs = 1.0 / (rope["rope_theta"] ** (np.arange(0, dim, 2, dtype=np.float32) / dim))
    low, high, old = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for freq in freqs:
        wavelen = 2 * math.pi / freq
        if wavelen < old / high:
            factors.append(1)
        elif wavelen > old / low:
            factors.append(rope["factor"])
        else:
            smooth = (old / wavelen - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def model(folder, path):
    config = json.loads((folder / "config.json").read_text())
    arch = config["model_type"].removesuffix("_text")
    writer = gguf.GGUFWriter(path, arch)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim = config.get("head_dim") or config["hidden_size"] // heads
    gemma, rope = arch == "gemma3", config["rope_parameters"]
    if gemma:
        writer.add_sliding_window(config["sliding_window"])
        writer.add_sliding_window_pattern(1 + config["layer_types"].index("full_attention"))
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(dim)
    writer.add_value_length(dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(dim)
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    elif rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(rope, dim))
    tokens = ["<s>", "</s>", *(chr(ord("!") + i) for i in range(config["vocab_size"] - 3)), '!"']
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (len(tokens) - 2))
    writer.add_token_merges(['! "'])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template("{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}")
    names = gguf.get_tensor_name_map({v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[arch], config["num_hidden_layers"])
    for name, weight in load_file(folder / "model.safetensors").items():
        if arch in ("llama", "smollm3") and ".q_proj." in name:
            weight = permute(weight, heads)
        if arch in ("llama", "smollm3") and ".k_proj." in name:
            weight = permute(weight, kv_heads)
        if gemma and name.endswith("norm.weight"):
            weight = weight + 1
        if gemma and ".q_norm." in name:
            # The format has no key for the scale of queries, which is that of heads of this width.
            weight = weight * math.sqrt(dim / config["query_pre_attn_scalar"])
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), weight.astype(np.float32))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_level(folder):
    trainee = Tokenizer(BPE())
    trainee.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainee.train_from_iterator([CORPUS], BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    trained = json.loads(trainee.to_str())["model"]
    merges = [tuple(merge) for merge in trained["merges"]]
    tokens = ["<s>", "</s>", *sorted(trained["vocab"], key=trained["vocab"].get), "<think>", "Ġunreachable"]
    special, added = ["<s>", "</s>"], ["<think>"]
    vocab = {token: id for id, token in enumerate(tokens)}

    writer = gguf.GGUFWriter(folder / "byte-level.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    padded = [*tokens, f"[PAD{len(tokens)}]"]
    writer.add_token_list(padded)
    writer.add_token_types([3 if t in special else 4 if t in added else 5 if t.startswith("[PAD") else 1 for t in padded])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    finish(writer)

    def by_splits(splits, whole_words=False):
        tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges, ignore_merges=whole_words))
        steps = [pre_tokenizers.Split(Regex(split), "isolated") for split in splits]
        bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, bytes])
        return tokenizer

    of_transformers = mapping.GGUF_PRE_TOKENIZER_SPLITS
    kinds = {kind: by_splits(splits) for kind, splits in LLAMA_CPP.items()}
    kinds |= {kind: by_splits([of_transformers[kind]]) for kind in ("smaug-bpe", "gpt-4o", "deepseek-r1-qwen")}
    kinds |= {kind: by_splits([of_transformers[kind]], whole_words=True) for kind in ("llama-bpe", "tekken")}
    classes = {"gpt-2": GPT2Tokenizer, "qwen2": Qwen2Tokenizer}
    for kind, of_class in classes.items():
        kinds[kind] = of_class(vocab=dict(vocab), merges=list(merges)).backend_tokenizer
    for tokenizer in kinds.values():
        tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
        tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    return {kind: [t.encode(text, add_special_tokens=False).ids for text in TEXTS] for kind, t in sorted(kinds.items())}


def train(**options):
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.split("\n")),
        model_writer=trained,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
        **options,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())


def write_pieces(path, arch, pieces, prefixed):
    count = pieces.vocab_size()
    kind = lambda id: (
        2 if pieces.IsUnknown(id) else 3 if pieces.IsControl(id) else 6 if pieces.IsByte(id) else 1
    )
    tokens, kinds = [pieces.IdToPiece(id) for id in range(count)], [kind(id) for id in range(count)]
    scores = [pieces.GetScore(id) for id in range(count)]
    for id, token in enumerate(tokens):
        if token == "<think>" or (not token.strip("▁") and len(token) > 1 and scores[id] == 0):
            # As convert_hf_to_gguf.py does with the added tokens of tokenizer_config.json.
            tokens[id], kinds[id], scores[id] = token.replace("▁", " "), 4, -1000.0
    writer = gguf.GGUFWriter(path, arch)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_unk_token_id(pieces.unk_id())
    writer.add_add_space_prefix(prefixed)
    finish(writer)


def sentence_pieces(folder):
    pieces = train(vocab_size=480, add_dummy_prefix=True, user_defined_symbols=["<think>"])
    write_pieces(folder / "sentencepiece.gguf", "llama", pieces, True)
    # SentencePiece itself has no text for its special tokens, and puts the space before the first piece alone.
    return [None if "<" in text else pieces.encode(text) for text in TEXTS]


def decoded(path):
    backend, _ = mapping.convert_gguf_tokenizer(*mapping.get_gguf_tokenizer(str(path))[:2])
    tokenizer, chance = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>"), Random(1)
    found = []
    for _ in range(30):
        ids = [chance.randrange(1, 3) if chance.random() < 0.3 else chance.randrange(3, 480) for _ in range(7)]
        found.append([ids, tokenizer.decode(ids, skip_special_tokens=True)])
    return found


def gemma(folder):
    runs = ["▁" * count for count in range(2, 6)]
    pieces = train(vocab_size=480, add_dummy_prefix=False, user_defined_symbols=[*runs, "<think>"])
    path = folder / "gemma.gguf"
    write_pieces(path, "gemma3", pieces, False)
    tokenizer, _ = mapping.convert_gguf_tokenizer(*mapping.get_gguf_tokenizer(str(path))[:2])
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]


if __name__ == "__main__":
    families, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    for family in ("llama", "qwen2", "qwen3", "smollm3", "gemma3"):
        model(families / family, folder / f"{family}.gguf")
    expected = {
        "texts": TEXTS,
        "byte-level": byte_level(folder),
        "sentencepiece": sentence_pieces(folder),
        "gemma": gemma(folder),
        "decoded": {name: decoded(folder / f"{name}.gguf") for name in ("sentencepiece", "gemma")},
    }
    (folder / "tokenizers.json").write_text(json.dumps(expected, separators=(",", ":"), ensure_ascii=False) + "\n")
