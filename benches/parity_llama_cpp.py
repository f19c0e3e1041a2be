#!/usr/bin/env python3
"""Compares a GGUF file that alft exports with what llama.cpp computes from it, on the CPU.

    python benches/parity_llama_cpp.py MODEL [--type f32|f16|q8_0]

MODEL is a folder in Hugging Face's format, or a GGUF file. The package needed is llama-cpp-cffi, which has llama.cpp's own
interface for C, built (its wheels need the C++ library of GCC 13 or later). alft is built and run by cargo,
as the ignored test `a_model_answers_the_questions_of_a_parity_script` of the crate alft-policy. It exports the model, and both
programs read the export. Compared are:

- the tokens of 20 texts;
- the log-probabilities of their tokens, which may differ by 1e-3 with f32. llama.cpp rounds the inputs of its products to the
  type of the weights, and alft computes in f32, so they may differ by 0.05 with f16 and by 1.0 with q8_0. On average they may
  differ by a tenth of that;
- the most likely next token at each place, where the two best are further apart than that.

Prints a table, and ends with 1 if something differs.
"""

import argparse
import importlib.metadata
import sys
import tempfile
from pathlib import Path

import numpy
from llama._llama_cpp_cpu import ffi, lib

from parity import TEXTS, ask

TOLERANCE = {"f32": 1e-3, "f16": 0.05, "q8_0": 1.0}


@ffi.callback("void(enum ggml_log_level, const char *, void *)")
def silent(level, text, data):
    """Drops a line of llama.cpp's log."""


class Llama:
    """A GGUF file in llama.cpp, on the CPU."""

    def __init__(self, path):
        lib.llama_log_set(silent, ffi.NULL)
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        if self.model == ffi.NULL:
            sys.exit(f"llama.cpp does not load {path}")
        self.vocabulary = lib.llama_model_get_vocab(self.model)
        self.size = lib.llama_vocab_n_tokens(self.vocabulary)

    def tokenize(self, text):
        text = text.encode()
        tokens = ffi.new("llama_token[]", len(text) + 8)
        count = lib.llama_tokenize(self.vocabulary, text, len(text), tokens, len(tokens), True, False)
        return list(tokens[0:count])

    def logits(self, tokens):
        """The logits after each of the tokens."""
        settings = lib.llama_context_default_params()
        # Its threads wait for each other by spinning, which takes minutes on a machine that has other work.
        settings.n_threads = settings.n_threads_batch = 1
        # The cache would round keys and values to f16.
        settings.type_k = settings.type_v = lib.GGML_TYPE_F32
        context = lib.llama_init_from_model(self.model, settings)
        batch = lib.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for place, token in enumerate(tokens):
            batch.token[place], batch.pos[place], batch.logits[place] = token, place, 1
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
        if lib.llama_decode(context, batch) != 0:
            sys.exit("llama.cpp cannot compute the logits")
        rows = [lib.llama_get_logits_ith(context, place) for place in range(len(tokens))]
        rows = numpy.array([numpy.frombuffer(ffi.buffer(row, 4 * self.size), numpy.float32) for row in rows])
        lib.llama_batch_free(batch)
        lib.llama_free(context)
        return rows.astype(numpy.float64)


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted).sum(-1, keepdims=True))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("--type", choices=TOLERANCE, default="f32")
    arguments = arguments.parse_args()
    tolerance, failed = TOLERANCE[arguments.type], False

    def row(name, result, fine):
        nonlocal failed
        failed |= not fine
        print(f"{name:24} {result} {'' if fine else 'DIFFERS'}".rstrip())

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        questions = {
            "model": str(arguments.model.resolve()),
            "adapter": None,
            "conversations": [],
            "texts": TEXTS,
            "decoded": [],
            "sequences": [],
            "prompts": [],
            "max_new_tokens": 1,
            "gguf": arguments.type,
            "gradient_scale": None,
            "out": str(out),
        }
        ask(questions, out)
        exported = out / "exported/model.gguf"
        llama = Llama(exported)
        texts = [llama.tokenize(text) for text in TEXTS]
        # The next token alone, greedily, after every beginning of the first texts.
        beginnings = [tokens[:end] for tokens in texts[:5] for end in range(1, len(tokens))]
        got = ask({**questions, "model": str(exported), "gguf": None, "sequences": texts, "prompts": beginnings}, out)
        print(f"{arguments.model.name} in {arguments.type}, llama-cpp-cffi", importlib.metadata.version("llama-cpp-cffi"))
        same = sum(a == b for a, b in zip(texts, got["texts"]))
        row("tokens of texts", f"{same} of {len(texts)} the same", same == len(texts))
        wanted, nexts = [], []
        for index, tokens in enumerate(texts):
            logits = llama.logits(tokens)[:-1]
            wanted.append(log_softmax(logits)[numpy.arange(len(tokens) - 1), tokens[1:]])
            if index < 5:
                nexts.extend(logits)
        apart = numpy.abs(numpy.concatenate(wanted) - numpy.concatenate(got["log_probs"]))
        result = f"at most {apart.max():.1e} apart, on average {apart.mean():.1e}"
        row(f"{apart.size} log-probabilities", result, apart.max() < tolerance and apart.mean() < tolerance / 10)
        sure = [(logits, drawn) for logits, (drawn, *_) in zip(nexts, got["greedy"])
                if -numpy.diff(numpy.sort(logits)[-2:][::-1])[0] > tolerance]
        same = sum(logits.argmax() == drawn for logits, drawn in sure)
        row("most likely next token", f"{same} of {len(sure)} the same", same == len(sure))
    sys.exit(failed)


if __name__ == "__main__":
    main()
