"""Plain data as text: the literal that a program's result is recorded by, and back.

A result is read by its exact type or by the methods of its built-in base type, so a class of the program cannot answer for
itself. Equal results have equal texts: sets are sorted, dictionaries by their keys.
"""

import ast
import hashlib
from decimal import Decimal
from fractions import Fraction

#: The depth of a result beyond which it is no plain data. It keeps cyclic results and the component's stack in bounds.
DEPTH = 60

#: The numbers of elements and of characters of a text beyond which a result is no plain data.
ELEMENTS, CHARACTERS = 50_000, 200_000

#: Characters of a literal beyond which its hash is recorded. Such a result is compared exactly.
LONG = 8192

CONSTANTS = {"nan": float("nan"), "inf": float("inf")}


class NotPlain(Exception):
    """A value, or the text of one, that is no plain data."""


def encode(value):
    """Returns the literal of a value. Raises NotPlain for one that is not made of built-in types."""
    return Encoder(COMPOUNDS).literal(value, DEPTH)


def record(value):
    """Returns the literal of a value, or the hash of a long one. Raises NotPlain for a value without a literal."""
    text = encode(value)
    return text if len(text) <= LONG else fingerprint(value)


def fingerprint(value):
    """Returns the hash of a value, which is the same for a tuple and a list: JSON has no tuples."""
    text = Encoder(LISTED).literal(value, DEPTH)
    return "#" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Encoder:
    """Writes the literal of one result."""

    def __init__(self, compounds):
        self.compounds, self.elements = compounds, 1

    def literal(self, value, depth):
        kind = type(value)
        write = SCALARS.get(kind)
        if write is not None:
            return write(value)
        if depth == 0:
            raise NotPlain(f"a result that is nested more than {DEPTH} deep")
        # A subclass is written as its base: what it makes of the base's methods is the program's.
        for base in type.__dict__["__mro__"].__get__(kind):
            if base in SCALARS:
                return SCALARS[base](value)
            if base in self.compounds:
                return self.compounds[base](self, value, depth - 1)
        raise NotPlain(f"a result of the type {type.__dict__['__name__'].__get__(kind)[:80]}")

    def parts(self, values, length, depth):
        """Returns the literals of the elements of a collection."""
        self.elements += length
        if self.elements > ELEMENTS:
            raise NotPlain(f"a result of more than {ELEMENTS} elements")
        return [self.literal(value, depth) for value in values]

    def list(self, value, depth):
        return "[" + ", ".join(self.parts(list.__iter__(value), list.__len__(value), depth)) + "]"

    def tuple(self, value, depth):
        return bracketed(self.parts(tuple.__iter__(value), tuple.__len__(value), depth))

    def tuple_as_list(self, value, depth):
        return "[" + ", ".join(self.parts(tuple.__iter__(value), tuple.__len__(value), depth)) + "]"

    def set(self, value, depth):
        return "set" + bracketed(sorted(self.parts(set.__iter__(value), set.__len__(value), depth)))

    def frozenset(self, value, depth):
        return "frozenset" + bracketed(sorted(self.parts(frozenset.__iter__(value), frozenset.__len__(value), depth)))

    def dict(self, value, depth):
        keys = self.parts(dict.keys(value), dict.__len__(value), depth)
        contents = self.parts(dict.values(value), dict.__len__(value), depth)
        return "{" + ", ".join(f"{key}: {content}" for key, content in sorted(zip(keys, contents))) + "}"


def bracketed(parts):
    return "(" + ", ".join(parts) + (",)" if len(parts) == 1 else ")")


def short(value, kind):
    if kind.__len__(value) > CHARACTERS:
        raise NotPlain(f"a result of more than {CHARACTERS} characters")
    return value


def whole(value):
    # A decimal of thousands of digits takes time that is quadratic in their number.
    return int.__repr__(value) if int.bit_length(value) <= 4096 else int.__format__(value, "#x")


def fraction(value):
    return f"Fraction({whole(Fraction.numerator.__get__(value))}, {whole(Fraction.denominator.__get__(value))})"


SCALARS = {
    type(None): lambda value: "None",
    bool: lambda value: "True" if value is True else "False",
    int: whole,
    float: float.__repr__,
    complex: lambda value: f"complex({float.__repr__(value.real)}, {float.__repr__(value.imag)})",
    str: lambda value: str.__repr__(short(value, str)),
    bytes: lambda value: bytes.__repr__(short(value, bytes)),
    bytearray: lambda value: bytes.__repr__(bytes(short(value, bytearray))),
    range: lambda value: f"range({whole(value.start)}, {whole(value.stop)}, {whole(value.step)})",
    Fraction: fraction,
    Decimal: lambda value: f"Decimal({Decimal.__str__(value)!r})",
}

COMPOUNDS = {
    list: Encoder.list,
    tuple: Encoder.tuple,
    dict: Encoder.dict,
    set: Encoder.set,
    frozenset: Encoder.frozenset,
}

LISTED = COMPOUNDS | {tuple: Encoder.tuple_as_list}


def decode(text):
    """Returns the value of a literal. Raises NotPlain for any other text: a record may be forged."""
    try:
        return _decode(ast.parse(text, mode="eval").body)
    except NotPlain:
        raise
    except Exception as error:
        raise NotPlain(f"a text that is no literal: {type(error).__name__}")


def _decode(node):
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.UnaryOp(ast.USub(), operand):
            return -_decode(operand)
        case ast.Tuple(items):
            return tuple(_decode(item) for item in items)
        case ast.List(items):
            return [_decode(item) for item in items]
        case ast.Dict(keys, contents):
            return {_decode(key): _decode(content) for key, content in zip(keys, contents)}
        # The elements of a set are written as arguments.
        case ast.Call(ast.Name(name), arguments, []) if name in BUILDERS:
            return BUILDERS[name](*[_decode(argument) for argument in arguments])
        case _:
            raise NotPlain("a text that is no literal")


BUILDERS = {
    "complex": complex,
    "set": lambda *items: set(items),
    "frozenset": lambda *items: frozenset(items),
    "range": range,
    "Fraction": Fraction,
    "Decimal": Decimal,
}
