"""What a component in Python exports: the contract's interfaces, on top of the class that the author exports.

`alft plugin build` adds it to the project as alft_component, and the name and version of plugin.toml as alft_project.
"""

import builtins
import io
import json
import linecache
import os
import posix
import re
import sys
import traceback

import alft
import alft_project
import plugin as _
from componentize_py_types import Err
from wit_world.exports import about as wit_about
from wit_world.imports import diagnostics

try:
    from wit_world.exports import objective as wit_objective
except ImportError:
    # The plugin does not have this role.
    wit_objective = None


class Talk:
    """Standard output and error: whole lines go to the host as diagnostics."""

    def __init__(self, level):
        self.level, self.rest = level, ""

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            diagnostics.log(self.level, line)

    def flush(self):
        pass


def no_files(*_, **__):
    raise FileNotFoundError("there are no files in a component, only what was read while it was made, at import")


def seal():
    """Ends the time when there were files. A look for one would be a trap now, and end a mere import or traceback."""
    sys.stdout, sys.stderr = Talk(diagnostics.Level.INFO), Talk(diagnostics.Level.WARN)
    linecache.checkcache = lambda filename=None: None
    for module in (builtins, io, os, posix):
        for name in {"open", "open_code", "stat", "lstat", "listdir", "scandir"} & vars(module).keys():
            setattr(module, name, no_files)


def contract(call):
    """What an author's code raises would be a trap that says nothing: makes it the contract's error."""

    def guarded(self, config, *batch):
        seal()
        try:
            configuration = parsed(config)
            try:
                opened = alft.exported(**configuration)
            except (TypeError, ValueError) as error:
                raise Err(f"its configuration is refused: {error}")
            return call(opened, *batch)
        except Err:
            raise
        except BaseException as error:
            raise Err(told(error))

    return guarded


# Nesting that json.loads takes on a component's small stack with room to spare; past its end there is only a trap.
DEEPEST = 128
TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[][{}]', re.DOTALL)


def parsed(config):
    depth = 0
    for token in TOKEN.finditer(config):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0][0], 0)
        if depth > DEEPEST:
            raise Err(f"its configuration is refused: it is nested more than {DEEPEST} deep")
    return json.loads(config)


def told(error):
    """What was raised, and where in the author's code. Without carets: placing them can end in a look for a file."""
    frames = (frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__)
    frames = [traceback.FrameSummary(f.filename, f.lineno, f.name, line=f.line) for f in frames]
    return "".join(traceback.format_exception_only(error) + traceback.format_list(frames)).rstrip()


class About:
    @contract
    def describe(opened):
        range_ = opened.score_range
        return wit_about.Manifest(
            name=alft_project.NAME,
            version=alft_project.VERSION,
            summary=opened.summary,
            score_range=range_ and wit_about.Interval(*map(float, range_)),
            concave=opened.concave,
            gradient=opened.gradient,
            needs_reference=opened.needs_reference,
        )


class Reader:
    @contract
    def read(opened, batch):
        return [[key(opened.read(item.prompt, text)) for text in item.completions] for item in batch]


class Verifier:
    @contract
    def score(opened, batch):
        return [[float(opened.score(item.prompt, text)) for text in item.answers] for item in batch]


class Objective:
    @contract
    def evaluate(opened, batch):
        return [valuation(opened.evaluate(bundle)) for bundle in batch]


def key(read):
    if read is None or isinstance(read, str):
        return read
    raise TypeError(f"read returned {read!r}, which is neither a str nor None")


def valuation(said):
    return wit_objective.Valuation(
        utility=float(said.utility),
        rewards=[[float(reward) for reward in rewards] for rewards in said.rewards],
        violation=None if said.violation is None else float(said.violation),
    )


# This module is run while the component is made: the lines that tracebacks will show are read now.
for module in list(sys.modules.values()):
    linecache.getlines(getattr(module, "__file__", None) or "")
