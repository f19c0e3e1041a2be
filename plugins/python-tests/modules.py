"""The modules that a program can import. Each is a copy of its own: what a program changes there is changed for it alone.

A module that is not listed is refused with a reason. Those of files, processes, threads, the network and the interpreter
itself are not listed: a component has none of the former, and a call of them would be a trap instead of an exception.
"""

import importlib
import importlib.util
import io
import random
import sys
import time
from types import ModuleType

try:
    import _pydatetime
except ImportError:
    # A test of the plugin's author under a Python before 3.12.
    import datetime as _pydatetime

#: The modules of the standard library that are copied as they are.
PLAIN = (
    "__future__ abc array ast base64 binascii bisect calendar cmath collections collections.abc contextlib copy dataclasses "
    "decimal difflib enum fractions functools hashlib heapq html itertools json keyword math numbers operator pprint re "
    "reprlib string struct statistics textwrap types typing unicodedata zlib"
).split()

#: Modules that those import when they are first needed.
NEEDED = (
    "annotationlib _strptime locale inspect encodings.ascii encodings.latin_1 encodings.utf_16 encodings.utf_16_le "
    "encodings.utf_16_be encodings.utf_32 encodings.utf_8_sig encodings.cp1252"
).split()

# They are imported while the component is made: it has no files later.
for name in NEEDED:
    if importlib.util.find_spec(name) is not None:
        importlib.import_module(name)
REAL = {name: importlib.import_module(name) for name in PLAIN}

#: Names of modules that a test script may use without importing them.
IMPORTABLE = frozenset(name for name in PLAIN if "." not in name and not name.startswith("_")) | {"random", "datetime"}


class Modules:
    """The modules of one program. Its `builtins` is given."""

    def __init__(self, builtins):
        self.loaded = {"builtins": builtins}

    def load(self, name, globals=None, locals=None, fromlist=(), level=0):
        """The program's `__import__`."""
        if level != 0:
            raise ImportError("a program has no package")
        module = self.get(name)
        if module is None:
            lacks = "a program has part of the standard library, and no files, network, clock or processes"
            raise ImportError(f"{name} cannot be imported: {lacks}")
        return module if fromlist else self.get(name.partition(".")[0])

    def get(self, name):
        if type(name) is not str or name not in REAL and name not in MAKERS and name != "builtins":
            return None
        if name not in self.loaded:
            module = self.loaded[name] = Sys("sys") if name == "sys" else ModuleType(name)
            names = MAKERS[name](self) if name in MAKERS else public(REAL[name])
            for key, value in names.items():
                if type(value) is ModuleType:
                    value = self.get(f"{name}.{key}")
                    if value is None:
                        continue
                ModuleType.__setattr__(module, key, value)
        return self.loaded[name]


def public(module):
    """Returns the contents of a module without its private names, which lead to other modules."""
    return {key: value for key, value in vars(module).items() if not key.startswith("_") or key in ("__all__", "__getattr__")}


class Sys(ModuleType):
    """The program's `sys`: its streams are those that `print` and `input` use."""

    stdin = property(lambda self: sys.stdin, lambda self, value: setattr(sys, "stdin", value))
    stdout = property(lambda self: sys.stdout, lambda self, value: setattr(sys, "stdout", value))
    stderr = property(lambda self: sys.stderr, lambda self, value: setattr(sys, "stderr", value))


def exit(code=None):
    raise SystemExit(code)


#: The deepest recursion that a program may ask for: its frames are in the memory of the component.
RECURSION = 20_000


def set_recursion_limit(limit):
    sys.setrecursionlimit(max(200, min(int(limit), RECURSION)))


def make_sys(modules):
    kept = (
        "maxsize maxunicode byteorder float_info int_info hash_info version version_info implementation copyright hexversion "
        "getrecursionlimit getsizeof intern exc_info set_int_max_str_digits get_int_max_str_digits"
    )
    return {key: getattr(sys, key) for key in kept.split()} | {
        "argv": ["program.py"],
        "exit": exit,
        "modules": modules.loaded,
        "path": [],
        "platform": "wasi",
        "setrecursionlimit": set_recursion_limit,
    }


class Random(random.Random):
    """A generator that begins with the same numbers in every program: there is no other source of randomness."""

    def __new__(cls, seed=0):
        return super().__new__(cls, 0)

    def __init__(self, seed=0):
        super().__init__(0 if seed is None else seed)

    def seed(self, a=0, version=2):
        super().seed(0 if a is None else a, version)


def make_random(_):
    shared = Random()
    names = public(random)
    del names["SystemRandom"]
    methods = {key: getattr(shared, key) for key in names if hasattr(shared, key)}
    return names | methods | {"Random": Random}


def make_time(_):
    names = public(time)
    for key in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        names[key] = lambda: 0.0
        names[key + "_ns"] = lambda: 0
    for key in ("gmtime", "localtime"):
        names[key] = lambda seconds=0.0: GMTIME(seconds or 0.0)
    for key in [key for key in names if key.startswith(("clock_", "get_clock", "tzset", "pthread_"))]:
        del names[key]
    return names | {"sleep": lambda seconds: None, "ctime": lambda seconds=0.0: CTIME(seconds or 0.0), "strftime": strftime}


GMTIME, CTIME, STRFTIME = time.gmtime, time.ctime, time.strftime


def strftime(form, moment=None):
    return STRFTIME(form, GMTIME(0.0) if moment is None else moment)


def make_datetime(modules):
    # The implementation in Python asks `_time` for the time; the one in C would ask the clock.
    _pydatetime._time = modules.get("time")
    return public(_pydatetime)


def make_io(_):
    kept = "StringIO BytesIO TextIOBase IOBase RawIOBase BufferedIOBase SEEK_SET SEEK_CUR SEEK_END UnsupportedOperation"
    return {key: getattr(io, key) for key in kept.split()}


#: The modules whose copies differ from them.
MAKERS = {
    "datetime": make_datetime,
    "io": make_io,
    "random": make_random,
    "sys": make_sys,
    "time": make_time,
}
