"""Comparing what is expected with what is recorded."""

import math

from values import NotPlain, decode, fingerprint

def printed(text):
    """Returns a printed text without spaces at the ends of lines and empty lines at its end."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")


def equal(expected, record, tolerance, is_output=False):
    """Returns whether the record is that of the expected value."""
    if not isinstance(record, str) or record.startswith("!"):
        return False
    try:
        if record.startswith("#"):
            return record == fingerprint(expected)
        value = decode(record)
    except NotPlain:
        return False
    return same_output(expected, value, tolerance) if is_output else same(expected, value, tolerance)


def same(expected, value, tolerance):
    """Compares a JSON value with a result."""
    if isinstance(expected, bool) or isinstance(value, bool):
        return expected is value
    if isinstance(expected, (int, float)) and isinstance(value, (int, float)):
        exact = isinstance(expected, int) and isinstance(value, int)
        return expected == value if exact else near(expected, value, tolerance)
    if isinstance(expected, list):
        return (
            isinstance(value, (list, tuple))
            and len(expected) == len(value)
            and all(same(one, other, tolerance) for one, other in zip(expected, value))
        )
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            return False
        value = {json_key(key): content for key, content in value.items()}
        return expected.keys() == value.keys() and all(same(expected[key], value[key], tolerance) for key in expected)
    return type(expected) is type(value) and expected == value


def near(expected, value, tolerance):
    if expected == value or expected != expected and value != value:
        return True
    try:
        return abs(expected - value) <= tolerance * max(1.0, abs(expected))
    except OverflowError:
        return False


def json_key(key):
    """Returns the text that JSON has for a dictionary's key."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return key if isinstance(key, str) else str(key)


def same_output(expected, value, tolerance):
    """Compares printed texts word by word: numbers with a point or exponent within the tolerance, all else exactly."""
    if expected == value or not isinstance(value, str):
        return expected == value
    lines, others = expected.split("\n"), value.split("\n")
    return len(lines) == len(others) and all(same_line(line, other, tolerance) for line, other in zip(lines, others))


def same_line(expected, value, tolerance):
    words, others = expected.split(), value.split()
    return len(words) == len(others) and all(
        word == other or is_fractional(word) and number(other) is not None and near(number(word), number(other), tolerance)
        for word, other in zip(words, others)
    )


def is_fractional(word):
    return number(word) is not None and any(mark in word for mark in ".eE")


def number(word):
    try:
        found = float(word)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
