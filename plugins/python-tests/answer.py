"""The answer of a completion: its last block of Python code."""

import ast
import re

# `ast.unparse` imports a module when it is first called, and a component has no files then.
ast.unparse(ast.Pass())

#: A fenced block of Markdown. A block that is not closed ends with the text: the closing fence is often a stop text.
BLOCK = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)[^\n`]*\n(?P<code>.*?)(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)

#: Languages of a block that is read.
PYTHON = {"", "python", "python3", "py", "py3"}


def code(completion):
    """Returns the code of the last block in Python, or None if there is none."""
    blocks = BLOCK.finditer(completion.replace("\r\n", "\n"))
    codes = [block["code"] for block in blocks if block["language"].lower() in PYTHON]
    return codes[-1] if codes else None


#: The depth of brackets that the compiler takes without an overflow of the component's stack.
DEPTH = 90

#: Comments and texts, in which brackets are none; brackets; and rows of operators, which nest as brackets do.
TOKEN = re.compile(
    r"#[^\n]*|\"{3}(?s:.*?)\"{3}|'{3}(?s:.*?)'{3}|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
    r"|[()\[\]{}]|(?:[-+~]\s*){300,}|(?:not\s+){300,}"
)


def is_too_deep(source):
    """Returns whether the compiler might overflow the stack on the source, which would be no exception."""
    depth = 0
    for token in TOKEN.finditer(source):
        first = token[0][0]
        if first in "([{":
            depth += 1
        elif first in ")]}":
            depth -= 1
        elif first in "-+~n":
            return True
        if depth > DEPTH:
            return True
    return False


def normalised(source):
    """Returns the program without comments, docstrings and layout. Raises what the compiler raises."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
