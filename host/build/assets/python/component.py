"""The exports of a component in Python: the contract's interfaces, on top of the class that the author exports.

`alft plugin build` adds this module to the project as alft_component, and the name and version of plugin.toml as
alft_project.
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
    # The plugin is not an objective.
    wit_objective = None


class Log:
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
    raise FileNotFoundError("a component has no files; read them at import, while the component is made")


#: False while the component is made, when imports read files.
sealed = False


def audit(event, _):
    """Refuses the files that C code opens: the compiler looks for the line of a syntax error in a file."""
    if sealed and event == "open":
        no_files()


sys.addaudithook(audit)


def seal():
    """Replaces access to files with an exception. A system call would be a trap, even within an import or a traceback."""
    global sealed
    sealed = True
    sys.stdout, sys.stderr = Log(diagnostics.Level.INFO), Log(diagnostics.Level.WARN)
    linecache.checkcache = lambda filename=None: None
    for module in (builtins, io, os, posix):
        for name in {"open", "open_code", "stat", "lstat", "listdir", "scandir"} & vars(module).keys():
            setattr(module, name, no_files)


def contract(call):
    """Turns an exception of the author's code into the contract's error. It would be a trap without a message."""

    def guarded(self, config, *batch):
        seal()
        try:
            configuration = parsed(config)
            try:
                opened = alft.exported(**configuration)
            except (TypeError, ValueError) as error:
                raise Err(f"the configuration is refused: {error}")
            return call(opened, *batch)
        except Err:
            raise
        except BaseException as error:
            raise Err(report(error))

    return guarded


# json.loads recurses, and a component's stack is small: an overflow would be a trap without a message.
MAX_DEPTH = 128
TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[][{}]', re.DOTALL)


def parsed(config):
    depth = 0
    for token in TOKEN.finditer(config):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0][0], 0)
        if depth > MAX_DEPTH:
            raise Err(f"the configuration is refused: it is nested more than {MAX_DEPTH} deep")
    return json.loads(config)


def report(error):
    """Returns the exception and its traceback within the author's code. Carets are left out: placing them may read a file."""
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


def completions(opened, batch):
    """Returns the batch. Refuses more than one completion, without a traceback, for a plugin that wants each alone."""
    if opened.alone and sum(len(item.completions) for item in batch) > 1:
        raise Err("the plugin takes one completion a call")
    return batch


class Reader:
    @contract
    def read(opened, batch):
        batch = completions(opened, batch)
        return [[key(opened.read(item.prompt, text)) for text in item.completions] for item in batch]


class Grader:
    @contract
    def grade(opened, batch):
        batch = completions(opened, batch)
        return [[float(opened.grade(item.prompt, text)) for text in item.completions] for item in batch]


class Verifier:
    @contract
    def score(opened, batch):
        return [[float(opened.score(item.prompt, text)) for text in item.answers] for item in batch]


class Objective:
    @contract
    def evaluate(opened, batch):
        return [valuation(opened.evaluate(bundle)) for bundle in batch]


def key(result):
    if result is None or isinstance(result, str):
        return result
    raise TypeError(f"read returned {result!r}; return a str, or None for no answer")


def valuation(result):
    return wit_objective.Valuation(
        utility=float(result.utility),
        rewards=[[float(reward) for reward in rewards] for rewards in result.rewards],
        violation=None if result.violation is None else float(result.violation),
    )


# This module runs while the component is made: tracebacks need the source lines, so they are read now.
for module in list(sys.modules.values()):
    linecache.getlines(getattr(module, "__file__", None) or "")
