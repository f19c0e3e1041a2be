import gc
import json
import re
import unittest

import alft
import modules
from plugin import PythonTests

ADD = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]


#: A program that looks through all objects of the interpreter for a number, and for texts that have it in them.
SEARCH = """
import gc
def secret(_):
    first, last = "924", "117"
    seen, todo, found = set(), gc.get_objects(), []
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if type(thing) is int and thing == int(first + last) or type(thing) is str and first + last in thing:
            found.append(thing)
        todo += gc.get_referents(thing)
    return found
"""


def block(program):
    return f"So:\n\n```python\n{program}\n```\n"


def judged(metadata, completion, **config):
    """Returns the key of a completion, and its score."""
    plugin, text = PythonTests(**config), json.dumps(metadata)
    key = plugin.read(alft.Prompt("q", metadata=text), completion)
    return key, None if key is None else plugin.score(alft.Prompt("q", metadata=text), key)


class Tests(unittest.TestCase):
    def test_the_last_block_of_python_is_the_answer(self):
        right, wrong = block("def add(a, b):\n    return a + b"), block("def add(a, b):\n    return 3")
        self.assertEqual(judged({"tests": ADD}, right), ('[["3"], ["0"]]', 1))
        self.assertEqual(judged({"tests": ADD}, right + wrong)[1], 0)
        self.assertEqual(judged({"tests": ADD}, wrong + right)[1], 1)
        self.assertEqual(judged({"tests": ADD}, right + "```text\n3\n```")[1], 1)
        self.assertEqual(judged({"tests": ADD}, right.rstrip().removesuffix("```"))[1], 1)
        for text in ("", "def add(a, b):\n    return a + b", block("def add(a, b)"), block("1 / 0"), block("import socket")):
            self.assertEqual(judged({"tests": ADD}, text), (None, None), text)

    def test_the_score_is_all_or_a_share(self):
        half = block("def add(a, b):\n    return 3")
        self.assertEqual(judged({"tests": ADD}, half)[1], 0)
        self.assertEqual(judged({"tests": ADD}, half, score="share")[1], 0.5)

    def test_programs_that_do_the_same_are_the_same_answer(self):
        metadata = {"tests": ADD, "probes": ["add('a', 'b')"]}
        bodies = ("a + b", "b + a - 0", "a.__add__(b)")
        keys = {judged(metadata, block(f"def add(a, b):\n    return {body}"))[0] for body in bodies}
        self.assertEqual(keys, {'[["3"], ["0"], "\'ab\'"]', '[["3"], ["0"], "!TypeError"]'})
        plugin = PythonTests()
        sources = ("def f():\n    return  1 # one", "def f():\n    'One.'\n    return 1", "def f(): return 1")
        keys = {plugin.read(alft.Prompt(), block(source)) for source in sources}
        self.assertEqual(keys, {"def f():\n    return 1"})

    def test_a_program_that_searches_all_objects_finds_no_expected_result(self):
        def found(tests):
            """Returns the record of `secret(0)`: the objects that have the number in them."""
            prompt = alft.Prompt("q", metadata=json.dumps({"tests": tests}))
            tests.clear()
            return PythonTests(steps=0).read(prompt, block(SEARCH))

        def number():
            # Neither this code nor that of the search may have the number in it.
            return int("924" + str(117))

        # A module that no program can import outside of this test.
        modules.REAL["gc"] = gc
        self.addCleanup(modules.REAL.pop, "gc")
        hidden = [
            f"assert secret(0) == {number()}",
            {"call": "secret(0)", "result": number()},
            {"input": "", "output": str(number())},
            {"check": f"def check(c):\n    for n in [0, 1]:\n        assert c(n) == {number()}", "entry": "secret"},
        ]
        self.assertEqual(found(hidden), '[["[]"], "[]", "\'\'", ["[]", "[]"]]')
        # A variable of a test is there, as its page says, so the search finds what there is.
        self.assertRegex(found([f"expected = {number()}\nassert secret(0) == expected"]), r"\[\[\"\[924117")

    def test_results_are_compared_by_value(self):
        def passes(result, expression, **config):
            program = block(f"def f():\n    return {expression}")
            return judged({"tests": [{"call": "f()", "result": result}]}, program, **config)[1] == 1

        for result, expression in (
            ([1, [2]], "(1, (2,))"),
            (0.3, "0.1 + 0.2"),
            (2, "2.0"),
            ({"1": None}, "{1: None}"),
            (True, "True"),
            ("é", "'é'"),
        ):
            self.assertTrue(passes(result, expression), expression)
        for result, expression in (
            (1, "True"),
            (True, "1"),
            (0.3, "0.31"),
            ([1, 2], "{1, 2}"),
            ("1", "1"),
            (None, "0"),
            (5, "f"),
            (0.5, "float('nan')"),
        ):
            self.assertFalse(passes(result, expression), expression)
        self.assertTrue(passes(0.3, "0.31", tolerance=0.05))
        self.assertTrue(passes(list(range(9000)), "tuple(range(9000))"), "the hash of a long result")
        self.assertFalse(passes(list(range(9000)), "tuple(range(9001))"))

    def test_printed_lines_are_compared_without_the_spaces_at_their_ends(self):
        program = block("n = float(input())\nprint(n / 3, ' ')\nprint('done')\nprint()")
        test = {"input": "1\n", "output": "0.33333333\ndone\n"}
        self.assertEqual(judged({"tests": [test]}, program)[1], 1)
        self.assertEqual(judged({"tests": [test | {"output": "0.34\ndone"}]}, program)[1], 0)
        self.assertEqual(judged({"tests": [test | {"output": "0.33333333 done"}]}, program)[1], 0)

    def test_the_keys_of_mbpp_and_humaneval_are_read(self):
        check = "def check(candidate):\n    for n in range(3):\n        assert candidate(n) == helper(n)\n    assert True\n"
        metadata = {"test": check, "entry_point": "twice", "setup": "def helper(n):\n    return 2 * n"}
        self.assertEqual(judged(metadata, block("def twice(n):\n    return helper(n)"))[1], 1)
        self.assertEqual(judged(metadata, block("def twice(n):\n    return 0"), score="share")[1], 1 / 3)
        mbpp = {"test_list": ["assert math.isclose(area(1), math.pi)"], "test_imports": ["import math"]}
        self.assertEqual(judged(mbpp, block("def area(r):\n    return 3.141592653589793 * r * r"))[1], 1)
        self.assertEqual(judged(mbpp, block("math.isclose = lambda *a: True\ndef area(r):\n    return 3"))[1], 0)

    def test_a_question_whose_tests_cannot_be_used_is_an_error(self):
        for metadata, words in (
            ({"tests": ["assert"]}, "no Python"),
            ({"tests": ["add(1, 2)"]}, "has no assert"),
            ({"tests": [{"call": "add(1,", "result": 3}]}, "no Python expression"),
            ({"tests": [{"call": "add(1, 2)"}]}, "none of the forms"),
            ({"tests": "assert add(1, 2) == 3"}, "must be a list"),
            ({"tests": ["assert all(add(n, 1) == n + 1 for n in range(3))"]}, "write a loop"),
            ({"test": "x = 1", "entry_point": "add"}, "check(candidate)"),
            ({"probes": [3]}, "the probe 3"),
        ):
            with self.assertRaisesRegex(ValueError, "question q: .*" + re.escape(words)):
                judged(metadata, block("def add(a, b):\n    return a + b"))
        with self.assertRaisesRegex(ValueError, "there are no `tests`"):
            PythonTests().score(alft.Prompt("q"), "[]")

    def test_steps_end_a_loop_and_keep_the_results_before_it(self):
        program = block("def add(a, b):\n    while a < 0:\n        pass\n    return a + b")
        self.assertEqual(judged({"tests": ADD}, program, score="share", steps=1000), ('[["3"], ["!StepLimit"]]', 0.5))

    def test_a_key_of_a_stranger_passes_no_test(self):
        prompt = alft.Prompt("q", metadata=json.dumps({"tests": ADD}))
        deep = '[["' + "(" * 5000 + '"]]'
        for key in ("", "[]", "3", '["3"]', '[["!"]]', "[[[[", '[["__import__(\'os\')"]]', deep, '["\\q"]'):
            self.assertEqual(PythonTests(score="share").score(prompt, key), 0, key)

    def test_wrong_configurations_are_refused(self):
        for config in ({"score": "most"}, {"steps": -1}, {"steps": 1.5}, {"tolerance": 1}, {"tolerance": "0"}):
            with self.assertRaisesRegex(ValueError, next(iter(config))):
                PythonTests(**config)


if __name__ == "__main__":
    unittest.main()
