"""The number of steps of a program: its rounds of loops and its calls of functions.

The count ends an endless loop before the fuel does, so the results before it still count. It is a call in front of each
body, of a method in C, which costs about as much as a round of a small loop itself; events of `sys.monitoring` cost four
times as much. What runs in C, such as `sum(range(10**12))`, comprehensions, and code that the program makes from texts are
not counted; fuel ends them.
"""

import ast
import sys
from operator import length_hint

#: The name of the method among the program's builtins.
NAME = "__step__"


class Steps:
    """The steps that are left to a run of a program."""

    def __init__(self, limit):
        """A limit of 0 does not count."""
        self.left = iter(range(1, (limit or sys.maxsize) + 1))
        #: Makes a step. It raises StopIteration once there is none left, however often the program catches it.
        self.step = self.left.__next__

    def are_used_up(self):
        return length_hint(self.left) == 0


def counted(source, file):
    """Compiles a program that counts its steps. Raises what the compiler raises."""
    tree = ast.parse(source, file)
    todo = [tree]
    while todo:
        node = todo.pop()
        # Only statements are visited: expressions are many times more.
        for key in BODIES:
            todo += getattr(node, key, ())
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            node.body.insert(0, step(node))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # A docstring stays the first statement.
            node.body.insert(1 if ast.get_docstring(node, clean=False) is not None else 0, step(node))
    return compile(tree, file, "exec", dont_inherit=True)


#: The keys of a node under which there are statements, or nodes with statements.
BODIES = ("body", "orelse", "finalbody", "handlers", "cases")


def step(place):
    """Returns the statement `__step__()`."""
    made = [ast.Name(NAME, ast.Load())]
    made.append(ast.Call(made[-1], [], []))
    made.append(ast.Expr(made[-1]))
    return [ast.copy_location(node, place) for node in made][-1]
