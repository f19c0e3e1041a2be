"""Test scripts, such as the asserts of MBPP and HumanEval: run once beside the program, and once beside its results.

A script is taken apart into the expressions that the program has to compute, such as `add(1, 2)` in
`assert add(1, 2) == 3`, and the rest. The reader runs the script with the program: it computes the expressions and records
their results, and of an assert nothing else is left, so the expected results are not there. The verifier runs the script
with the record in the program's place, and sees which asserts hold.
"""

import ast
import builtins
import random

from modules import IMPORTABLE
from values import NotPlain, decode


#: Names that a script means in its own sense if it does not bind them: of the program are all others.
TRUSTED = IMPORTABLE | vars(builtins).keys()

#: The place of code that is not in the text of a test.
PLACE = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}


class ScriptError(ValueError):
    """A script that is no test. It is an error of its question."""


class Stopped(Exception):
    """The script cannot go on without a result that the program did not give."""


class Script:
    """A script, in both of its forms."""

    def __init__(self, text, setup="", entry=None):
        """`entry` is the function that HumanEval's `check(candidate)` is called with."""
        self.text, self.setup, self.entry = text, setup, entry
        try:
            names = Names(self.parsed())
            bound = names.bound | Names(ast.parse(setup)).bound
        except ScriptError:
            raise
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ScriptError(f"the test {text[:80]!r} is no Python: {error}")
        self.imports = "\n".join(f"import {name}" for name in sorted(names.loaded & IMPORTABLE - bound))
        self.trusted = bound | TRUSTED
        self.asserts = names.asserts
        if self.asserts == 0:
            raise ScriptError(f"the test {text[:80]!r} has no assert")

    def namespace(self):
        """Returns a namespace with the question's own code. Nothing of the program is in it."""
        # The numbers of a script are the same beside every program and every record.
        random.seed(0)
        names = {"__name__": "script"}
        exec(f"{self.imports}\n{self.setup}", names)
        return names

    def parsed(self):
        tree = ast.parse(self.text)
        return tree if self.entry is None else called(tree, self.entry)

    def form(self, transformer):
        return compile(transformer(self.trusted).visit(self.parsed()), "<test>", "exec")

    def recorder(self):
        """Returns a function that runs the script with a program's namespace and returns the text of each result: a
        literal, or one that begins with "!" for a failure. It is given a function that computes such a text.

        The function holds the reader's form of the script alone."""
        form, namespace = self.form(Recording), self.namespace()

        def record(program, compute):
            return recorded(form, namespace, program, compute)

        return record

    def verdicts(self, results):
        """Runs the script on recorded results. Returns whether each assert holds, at least one for each in the script."""
        left, holds = list(reversed(results)), []

        def result():
            text = left.pop() if left else "!"
            if is_failure(text):
                raise Stopped
            return decode(text)

        def claim(count, condition):
            texts = [left.pop() if left else "!" for _ in range(count)]
            try:
                holds.append(bool(condition(*[decode(text) for text in texts])))
            except Exception:
                holds.append(False)

        form = self.form(Replaying)
        namespace = self.namespace() | {"__result__": result, "__claim__": claim}
        try:
            exec(form, namespace)
        except Exception:
            holds.append(False)
        return holds + [False] * (self.asserts - len(holds))


def recorded(form, namespace, program, compute):
    """Runs the reader's form of a script. Returns the text of each result."""
    results = []

    def attempt(function):
        results.append(compute(function))

    def result(function):
        attempt(function)
        if is_failure(results[-1]):
            raise Stopped
        return decode(results[-1])

    def name(key):
        if key in program:
            return program[key]
        raise NameError(f"name {key!r} is not defined")

    namespace |= {"__result__": result, "__attempt__": attempt, "__program__": name}
    try:
        exec(form, namespace)
    except Exception:
        # The verifier, which runs the same script, counts the asserts that were not reached as failed.
        pass
    return results


def is_failure(text):
    """Returns whether the text is no literal: a failure, or the hash of a long result."""
    return not isinstance(text, str) or text[:1] in ("!", "#")


class Parting(ast.NodeTransformer):
    """Finds the expressions that the program has to compute: those that begin with a name which only the program has."""

    def __init__(self, trusted):
        self.trusted = trusted

    def visit(self, node):
        if isinstance(node, ast.expr) and self.of_program(node):
            return self.computed(node)
        return super().visit(node)

    def of_program(self, node):
        while isinstance(node, (ast.Call, ast.Attribute, ast.Subscript)):
            node = node.func if isinstance(node, ast.Call) else node.value
        return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in self.trusted

    def parts(self, condition):
        """Takes the program's expressions out of an assert's condition. Returns them, and the condition on `_0`, `_1`, …"""
        for node in ast.walk(condition):
            if isinstance(node, (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.Lambda)):
                if any(self.of_program(inner) for inner in ast.walk(node) if isinstance(inner, ast.expr)):
                    raise ScriptError(
                        f"the test `assert {ast.unparse(condition)[:80]}` calls the program within a comprehension; "
                        "write a loop with an assert in it"
                    )
        taking = Taking(self.trusted)
        condition = taking.visit(condition)
        return taking.found, condition


class Taking(Parting):
    """Takes expressions out."""

    def __init__(self, trusted):
        super().__init__(trusted)
        self.found = []

    def computed(self, node):
        self.found.append(node)
        return ast.Name(f"_{len(self.found) - 1}", ast.Load(), **PLACE)


class Naming(ast.NodeTransformer):
    """Looks up the names of the program among the program's."""

    def __init__(self, trusted):
        self.trusted = trusted

    def visit_Name(self, name):
        if isinstance(name.ctx, ast.Load) and name.id not in self.trusted:
            return call("__program__", ast.Constant(name.id, **PLACE))
        return name


class Recording(Parting):
    """The reader's form: an assert computes its results and asks nothing."""

    def computed(self, node):
        return call("__result__", self.function(node))

    def function(self, node):
        return function([], Naming(self.trusted).visit(node))

    def visit_Assert(self, node):
        found, _ = self.parts(node.test)
        attempts = [ast.Expr(call("__attempt__", self.function(part)), **PLACE) for part in found]
        return attempts or ast.Pass(**PLACE)


class Replaying(Parting):
    """The verifier's form: a result is the next of the record."""

    def computed(self, _):
        return call("__result__")

    def visit_Assert(self, node):
        if is_constant(node):
            return ast.Pass(**PLACE)
        found, condition = self.parts(node.test)
        names = [f"_{at}" for at in range(len(found))]
        return ast.Expr(call("__claim__", ast.Constant(len(found), **PLACE), function(names, condition)), **PLACE)


def is_constant(node):
    """HumanEval has many an `assert True`, which every program would pass."""
    return isinstance(node.test, ast.Constant)


def call(name, *arguments):
    return ast.Call(ast.Name(name, ast.Load(), **PLACE), list(arguments), [], **PLACE)


def function(names, body):
    arguments = ast.arguments([], [ast.arg(name, **PLACE) for name in names], None, [], [], None, [])
    return ast.Lambda(arguments, body, **PLACE)


def called(tree, entry):
    """Returns HumanEval's `check(candidate)` as a script: the function without its parameter, and a call of it."""
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if len(checks) != 1 or len(checks[0].args.args) != 1:
        raise ScriptError("`check` is not the text of a function `check(candidate)`")
    parameter = checks[0].args.args.pop().arg
    for node in ast.walk(checks[0]):
        if isinstance(node, ast.Name) and node.id == parameter:
            node.id = entry
    tree.body.append(ast.Expr(call("check"), **PLACE))
    return tree


class Names:
    """The names that a script binds in any of its scopes, those that it loads, and the number of its asserts."""

    def __init__(self, tree):
        self.bound, self.loaded, self.asserts = set(), set(), 0
        for node in ast.walk(tree):
            match node:
                case ast.Name(name, ast.Load()):
                    self.loaded.add(name)
                case ast.Name(name) | ast.arg(name) | ast.ExceptHandler(name=str(name)):
                    self.bound.add(name)
                case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                    self.bound.add(name)
                case ast.alias(name, other):
                    self.bound.add(other or name.partition(".")[0])
                case ast.Assert() if not is_constant(node):
                    self.asserts += 1
