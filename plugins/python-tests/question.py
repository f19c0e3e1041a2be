"""The tests of a question, as its metadata has them.

A test has two sides. The reader's is a computation: a function of the program that returns a record, and that knows nothing
of the expected result. The verifier's is a share: how much of the test a record passes.
"""

import json

from compare import equal, printed
from program import FILE
from script import Script
from values import record

#: The keys of a question that are read, with those of the data sets MBPP and HumanEval.
KEYS = {"tests", "probes", "setup", "test_list", "test_setup_code", "test_imports", "test", "entry_point"}


class QuestionError(ValueError):
    """A question whose tests cannot be used. It is an error and never a score."""


class Question:
    """The tests, and the calls and inputs besides that tell programs apart."""

    def __init__(self, prompt):
        self.id = prompt.id
        keys = json.loads(prompt.metadata)
        self.setup = self.text(keys, "setup") + self.text(keys, "test_setup_code") + "\n".join(keys.get("test_imports") or [])
        tests = self.list(keys, "tests") + self.list(keys, "test_list")
        if "test" in keys:
            tests.append({"check": keys["test"], "entry": keys.get("entry_point")})
        try:
            self.tests = [self.test(test) for test in tests]
            self.probes = [self.probe(probe) for probe in self.list(keys, "probes")]
        except ValueError as error:
            raise self.error(str(error))

    def error(self, reason):
        return QuestionError(f"question {self.id}: {reason}")

    def text(self, keys, key):
        value = keys.get(key) or ""
        if not isinstance(value, str):
            raise self.error(f"`{key}` must be a text")
        return value + "\n"

    def list(self, keys, key):
        value = keys.get(key) or []
        if not isinstance(value, list):
            raise self.error(f"`{key}` must be a list")
        return value

    def test(self, test):
        match test:
            case str():
                return ScriptTest(test, self.setup)
            case {"check": str(check), "entry": str(entry), **rest} if not rest and entry.isidentifier():
                return ScriptTest(check, self.setup, entry)
            case {"call": str(call), "result": result, **rest} if not rest:
                return CallTest(call, result)
            case {"input": str(text), "output": str(output), **rest} if not rest:
                return InputTest(text, output)
        raise ValueError(
            f"the test {json.dumps(test)[:100]} has none of the forms "
            '"assert …", {"call": …, "result": …}, {"input": …, "output": …} and {"check": …, "entry": …}'
        )

    def probe(self, probe):
        match probe:
            case str() | {"call": str()}:
                return CallTest(probe if isinstance(probe, str) else probe["call"], None)
            case {"input": str(text)}:
                return InputTest(text, "")
        forms = '"f(1)", {"call": …} and {"input": …}'
        raise ValueError(f"the probe {json.dumps(probe)[:100]} has none of the forms {forms}")

    def computations(self):
        """Returns a computation for each test and probe. They hold nothing of the expected results."""
        try:
            return [test.computation() for test in self.tests + self.probes]
        except ValueError as error:
            raise self.error(str(error))

    def shares(self, records, tolerance):
        """Returns the share of each test that the records pass."""
        try:
            return [test.share(found, tolerance) for test, found in zip(self.tests, records)]
        except ValueError as error:
            raise self.error(str(error))


class CallTest:
    """An expression, and the JSON value that it should have."""

    def __init__(self, call, result):
        try:
            self.code = compile(call.strip(), "<call>", "eval", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"the call {call[:80]!r} is no Python expression: {error}")
        self.result = result

    def computation(self):
        code = self.code

        def compute(run):
            return run.in_namespace(lambda program, namespace: program.compute(lambda: eval(code, namespace)))

        return compute

    def share(self, found, tolerance):
        return float(equal(self.result, found, tolerance))


class InputTest:
    """A text that the program reads, and the text that it should print."""

    def __init__(self, text, output):
        self.text, self.output = text, output

    def computation(self):
        text = self.text

        def compute(run):
            _, output, failure = run.program.load("__main__", text)
            return failure or record(printed(output))

        return compute

    def share(self, found, tolerance):
        return float(equal(printed(self.output), found, tolerance, is_output=True))


class ScriptTest:
    """Asserts."""

    def __init__(self, text, setup, entry=None):
        self.script = Script(text, setup, entry)

    def computation(self):
        run_script = self.script.recorder()

        def compute(run):
            return run.in_namespace(lambda program, namespace: run_script(namespace, program.compute))

        return compute

    def share(self, found, _):
        holds = self.script.verdicts(found if isinstance(found, list) else [])
        return sum(holds) / len(holds)
