"""Programs as answers: the last block of Python code of a completion, judged by the tests of its question.

The reader runs the program on the question's calls and inputs, and its key is the record of the results: programs that do
the same are the same answer. The verifier compares the record with the expected results. It never meets the program, and
the program never meets the expected results, so there is nothing to be won by an attack on the code that runs it.
"""

import json
import re
from json.encoder import encode_basestring_ascii as encode_text

import alft
from answer import code, is_too_deep, normalised
from program import Program
from question import Question
from seal import seal_system
from values import decode, fingerprint

#: Bytes of a key. The host's limit is 65,536.
KEY = 60_000

#: Characters of a result that is kept in a key which would be longer.
SHORT = 64


class Run:
    """A program under the tests of a question. It is loaded once for all calls of its functions."""

    def __init__(self, program):
        self.program, self.loaded = program, None

    def in_namespace(self, compute):
        """Returns what `compute` makes of the program and its namespace, or the failure to load the program."""
        if self.loaded is None:
            self.loaded = self.program.load("solution")
        namespace, _, failure = self.loaded
        return failure or compute(self.program, namespace)

    def is_broken(self):
        """Returns whether the program could not be loaded."""
        return self.loaded is not None and self.loaded[2] is not None


class PythonTests(alft.Plugin):
    summary = "Runs the last Python program of a completion, and scores it by the tests of its question."
    score_range = (0.0, 1.0)
    alone = True

    def __init__(self, score="all", steps=1_000_000, tolerance=1e-6):
        if score not in ("all", "share"):
            raise ValueError(f'score is {score!r}; it must be "all" or "share"')
        if type(steps) is not int or not 0 <= steps <= 10**12:
            raise ValueError(f"steps is {steps!r}; it must be a whole number from 0, for no limit, to 10^12")
        if type(tolerance) not in (int, float) or not 0 <= tolerance < 1:
            raise ValueError(f"tolerance is {tolerance!r}; it must be a number of at least 0 and less than 1")
        self.all, self.steps, self.tolerance = score == "all", steps, tolerance

    def read(self, prompt, completion):
        question = Question(prompt)
        source = code(completion)
        if source is None:
            return None
        if is_too_deep(source):
            log(prompt.id, "the program is nested too deep")
            return None
        try:
            program = Program(source, question.setup, self.steps)
            if not question.tests and not question.probes:
                return normalised(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            log(prompt.id, f"the program is no Python: {type(error).__name__}: {error}")
            return None
        computations, identity = question.computations(), question.id
        # From here on the expected results are nowhere in this instance.
        del question
        prompt.metadata = "{}"
        seal_system()
        try:
            run = Run(program)
            records = [compute(run) for compute in computations]
            if program.reason is not None:
                log(identity, program.reason)
            return None if run.is_broken() else key(records)
        except BaseException as error:
            # Nothing but the program can have changed what runs it and writes the key.
            log(identity, f"the program changed what runs it: {type(error).__name__}")
            return None

    def score(self, prompt, answer):
        question = Question(prompt)
        if not question.tests:
            raise question.error("there are no `tests`; add them, or leave the verifier out")
        shares = question.shares(recorded(answer), self.tolerance)
        passed = sum(shares) / len(question.tests)
        return float(passed == 1) if self.all else passed


def log(question, text):
    # A surrogate is no character of the host's texts.
    print(f"question {question}: {text[:300]}".encode("utf-8", "replace").decode())


def key(records):
    text = written(records)
    return text if len(text) <= KEY else written(shortened(records))


def shortened(record):
    """Returns the record with hashes in place of all but the shortest results."""
    if isinstance(record, list):
        return [shortened(part) for part in record]
    return record if len(record) <= SHORT or record[0] in "!#" else fingerprint(decode(record))


def written(record):
    """Returns the record as JSON. The program may have changed the module `json` by now, but not this function in C."""
    return encode_text(record) if isinstance(record, str) else "[" + ", ".join(map(written, record)) + "]"


# The form of a key.
TEXT = r'"(?:[^"\\]++|\\.)*+"'
TEXTS = rf"\[(?:{TEXT}(?:, {TEXT})*+)?\]"
RECORDS = re.compile(rf"\[(?:(?:{TEXT}|{TEXTS})(?:, (?:{TEXT}|{TEXTS}))*+)?\]")


def recorded(answer):
    """Returns the records of a key. A text that this plugin did not read passes no test."""
    # Brackets that a stranger nests deep would overflow the stack of the parser.
    try:
        return json.loads(answer) if RECORDS.fullmatch(answer) else []
    except ValueError:
        return []


alft.export(PythonTests)
