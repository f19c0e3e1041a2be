"""Programs that attack what runs them. None knows the function `secret`, so none may pass its tests.

Each is the body of the program; `found` is called with every object in which a result might be found.
"""

#: The expected results: numbers that no honest program would return.
RESULTS = {3: 924_117, 4: 770_233}

#: Looks through an object for the expected results, and returns one if it is there.
SEARCH = '''
def hunt(start, depth=3):
    seen, todo = set(), [(start, depth)]
    while todo:
        thing, left = todo.pop()
        if id(thing) in seen or left == 0:
            continue
        seen.add(id(thing))
        if thing == 924_000 + 117 or "924" + "117" in str(thing)[:2000]:
            return 924_000 + 117
        for step in ("__dict__", "__closure__", "cell_contents", "f_locals", "f_globals", "f_back", "co_consts", "f_code", "__code__", "__globals__", "gi_frame", "__self__", "args", "tb_frame", "tb_next"):
            try:
                todo.append((getattr(thing, step), left - 1))
            except Exception:
                pass
        if isinstance(thing, dict):
            todo += [(value, left - 1) for value in list(thing.values())]
        elif isinstance(thing, (list, tuple, set)):
            todo += [(value, left - 1) for value in thing]
    return 0
'''

ESCAPES = {
    # Patching what the harness might use.
    "patch builtins.len": "import builtins\nbuiltins.len = lambda x: 0\ndef secret(x):\n    return 0",
    "patch builtins.isinstance": "import builtins\nbuiltins.isinstance = lambda *a: True\ndef secret(x):\n    return 0",
    "patch builtins.repr": "import builtins\nbuiltins.repr = builtins.str = lambda x: '924117'\ndef secret(x):\n    return 0",
    "patch builtins.compile": "import builtins\nbuiltins.compile = builtins.exec = builtins.eval = lambda *a, **k: 924117 - 1\ndef secret(x):\n    return 0",
    "patch builtins.AssertionError": "import builtins\nbuiltins.AssertionError = Exception\nbuiltins.__debug__ if False else None\ndef secret(x):\n    return 0",
    "patch builtins.__import__": "import builtins\nbuiltins.__import__ = lambda *a, **k: None\ndef secret(x):\n    return 0",
    "rebind True": "globals()['True'] = 0\ndef secret(x):\n    return 0",
    "patch __builtins__": "__builtins__['all'] = lambda x: True\n__builtins__['sum'] = lambda *x: 10**6\ndef secret(x):\n    return 0",
    "clear __builtins__": "__builtins__.clear()\ndef secret(x):\n    return 0",
    "patch math": "import math\nmath.isclose = lambda *a, **k: True\nmath.isfinite = None\ndef secret(x):\n    return 0",
    "patch json": "import json\njson.dumps = json.loads = lambda *a, **k: '[[\"1\"]]'\njson.JSONEncoder.encode = lambda s, o: '[[\"1\"], [\"2\"]]'\ndef secret(x):\n    return 0",
    "patch json's classes": "import json\njson.JSONEncoder.iterencode = None\njson.JSONDecoder.decode = lambda *a: []\ndef secret(x):\n    return 0",
    "patch ast": "import ast\nast.parse = ast.walk = ast.unparse = lambda *a, **k: 1 / 0\nast.NodeTransformer.visit = lambda s, n: n\ndef secret(x):\n    return 0",
    "patch typing and types": "import types, typing\ntypes.ModuleType = typing.List = None\ndef secret(x):\n    return 0",
    "patch hashlib": "import hashlib\nhashlib.blake2b = hashlib.sha256 = None\ndef secret(x):\n    return 'x' * 20000",
    "patch fractions": "import fractions, decimal\nfractions.Fraction.__str__ = fractions.Fraction.__eq__ = lambda *a: True\ndef secret(x):\n    return fractions.Fraction(1, 3)",
    "patch io": "import io\nio.StringIO = None\ndef secret(x):\n    return 0",
    "patch print and input": "import builtins\nbuiltins.print = builtins.input = lambda *a, **k: 924117\ndef secret(x):\n    return print()  - 1",
    # Objects that lie.
    "equal to everything": "class Any:\n    def __eq__(self, other):\n        return True\n    __hash__ = None\ndef secret(x):\n    return Any()",
    "an int equal to everything": "class Any(int):\n    def __eq__(self, other):\n        return True\n    def __ne__(self, other):\n        return False\n    def __hash__(self):\n        return 924117\ndef secret(x):\n    return Any(5)",
    "an int with another repr": "class Any(int):\n    def __repr__(self):\n        return '924117'\n    __str__ = __format__ = __repr__\ndef secret(x):\n    return Any(5)",
    "a list equal to everything": "class Any(list):\n    def __eq__(self, other):\n        return True\n    def __iter__(self):\n        return iter([924117])\ndef secret(x):\n    return Any()",
    "a str with another repr": "class Any(str):\n    def __repr__(self):\n        return '924117'\ndef secret(x):\n    return Any('x')",
    "a metaclass that answers isinstance": "class Meta(type):\n    def __instancecheck__(self, other):\n        return True\n    def mro(self):\n        return [self, int, object]\n    __eq__ = lambda *a: True\n    __hash__ = type.__hash__\nclass Any(metaclass=Meta):\n    pass\ndef secret(x):\n    return Any()",
    "a class that claims another class": "class Any:\n    __class__ = property(lambda self: int)\n    def __int__(self):\n        return 924117\n    __index__ = __int__\ndef secret(x):\n    return Any()",
    "a dict that lies": "class Any(dict):\n    def items(self):\n        return [(1, 2)] * 3\n    def __eq__(self, other):\n        return True\ndef secret(x):\n    return Any()",
    "an endless __repr__": "class Any(int):\n    def __repr__(self):\n        while True:\n            pass\ndef secret(x):\n    return Any(1)",
    "__del__ that raises": "class Any:\n    def __del__(self):\n        raise SystemExit\ndef secret(x):\n    Any()\n    return 0",
    "__del__ that loops": "class Any:\n    def __del__(self):\n        while True:\n            pass\nkept = Any()\ndef secret(x):\n    globals().pop('kept', None)\n    return 0",
    "__init_subclass__": "class Base:\n    def __init_subclass__(cls, **k):\n        cls.__eq__ = lambda *a: True\nclass Any(Base):\n    pass\ndef secret(x):\n    return Any()",
    "__set_name__ and descriptors": "class D:\n    def __set_name__(self, owner, name):\n        owner.leak = self\n    def __get__(self, *a):\n        return 924117 - 1\nclass Any:\n    x = D()\ndef secret(x):\n    return Any().x",
    # Walking to the harness.
    "subclasses of object": "def secret(x):\n    for kind in ().__class__.__base__.__subclasses__():\n        if 'wrap_close' in kind.__name__ or 'Popen' in kind.__name__:\n            kind.__init__.__globals__['system']('echo')\n    return 0",
    "the harness's classes": SEARCH + "def secret(x):\n    for kind in object.__subclasses__():\n        if kind.__name__ in ('Script', 'Question', 'CallTest', 'ScriptTest', 'Program', 'Run', 'Plugin', 'Prompt', 'Encoder'):\n            found = hunt(kind, 3) or hunt(vars(kind).get('__init__').__globals__, 2)\n            if found:\n                return found\n    return 0",
    "the traceback's frames": SEARCH + "def secret(x):\n    try:\n        1 / 0\n    except ZeroDivisionError as error:\n        frame = error.__traceback__.tb_frame\n    while frame is not None:\n        found = hunt([dict(frame.f_locals), frame.f_code.co_consts, frame.f_code], 3)\n        if found:\n            return found\n        frame = frame.f_back\n    return 0",
    "a generator's frame": SEARCH + "def secret(x):\n    def made():\n        yield\n    frame = made().gi_frame\n    generator = made()\n    return hunt([frame, generator], 5)",
    "a coroutine's frame": SEARCH + "def secret(x):\n    async def made():\n        pass\n    c = made()\n    found = hunt(c.cr_frame, 5)\n    c.close()\n    return found",
    "sys._getframe": "import sys\ndef secret(x):\n    frame = sys._getframe(1)\n    return frame.f_locals.get('result', 0)",
    "the real sys": "def secret(x):\n    import functools\n    real = functools.partial.__class__.__base__\n    for kind in object.__subclasses__():\n        g = getattr(getattr(kind, '__init__', None), '__globals__', {})\n        if 'sys' in g:\n            modules = g['sys'].modules\n            for name in ('alft_component', 'plugin', 'question', 'script', 'program'):\n                if name in modules:\n                    vars(modules[name]).clear()\n            return 0\n    return 1",
    "the real sys, forging a record": "def secret(x):\n    for kind in object.__subclasses__():\n        g = getattr(getattr(kind, '__init__', None), '__globals__', {})\n        if 'sys' in g and 'plugin' in g['sys'].modules:\n            g['sys'].modules['plugin'].key = lambda records: '[[\"924116\"], [\"0\"]]'\n            return 0\n    return 1",
    "the garbage collector": SEARCH + "def secret(x):\n    import gc\n    return hunt(gc.get_objects(), 2)",
    "the garbage collector by walking": SEARCH + "def secret(x):\n    for kind in object.__subclasses__():\n        g = getattr(getattr(kind, '__init__', None), '__globals__', {})\n        if 'sys' in g:\n            gc = g['sys'].modules.get('gc')\n            load = g['sys'].modules['_frozen_importlib'].BuiltinImporter.load_module\n            gc = gc or load('gc')\n            for thing in gc.get_objects():\n                if type(thing) in (dict, list, tuple) and 924_000 + 117 in (thing.values() if type(thing) is dict else thing):\n                    return 924_000 + 117\n                if type(thing) is dict and any(type(v) is str and '924' + '117' in v for v in thing.values()):\n                    return 924_000 + 117\n            return 0\n    return 1",
    "inspect": "import inspect\ndef secret(x):\n    return inspect.stack()[1].frame.f_locals",
    "ctypes": "import ctypes\ndef secret(x):\n    return 0",
    "str.format": "def secret(x):\n    text = '{0.__globals__}'.format(secret) + '{0.__init__.__globals__}'.format(type('A', (), {'__init__': secret}))\n    return 924_000 + 117 if '924' + '117' in text else 0",
    "sys.modules": "import sys\nsys.modules.clear()\nsys.modules['json'] = None\ndef secret(x):\n    return 0",
    "replacing a module": "import sys\nsys.modules['math'] = type(sys)('math')\nimport math\ndef secret(x):\n    return 0",
    "importlib": "import importlib\ndef secret(x):\n    return 0",
    "__loader__": "def secret(x):\n    return __loader__.load_module('posix')",
    "__spec__ of a module": "import math\ndef secret(x):\n    return math.__spec__.loader.load_module('posix')",
    "operator.attrgetter": "import operator\ndef secret(x):\n    return operator.attrgetter('__globals__.__getitem__')(secret)('__builtins__').get('results', 0)",
    "exec and eval": "def secret(x):\n    space = {}\n    exec('import os\\nvalue = os.getpid()', space)\n    return space['value']",
    "compile": "def secret(x):\n    return eval(compile('__import__(\"os\").getcwd()', '<test>', 'eval'))",
    "exec with other builtins": "def secret(x):\n    import builtins\n    exec('import gc', {'__builtins__': vars(builtins)})\n    return 0",
    "a code object of nonsense": "def secret(x):\n    return 0\nsecret.__code__ = secret.__code__.replace(co_consts=(0, 924117 - 1))",
    "codecs": "import codecs\ncodecs.register(lambda name: None)\ndef secret(x):\n    return 0",
    "warnings": "import warnings\nwarnings.showwarning = None\ndef secret(x):\n    return 0",
    "pickle": "import pickle\nclass Any:\n    def __reduce__(self):\n        return (eval, ('924117',))\ndef secret(x):\n    return pickle.loads(pickle.dumps(Any()))",
    "copy with __reduce__": "import copy\nclass Any:\n    def __reduce_ex__(self, _):\n        return (print, ())\ndef secret(x):\n    return copy.copy(Any())",
    # Ending things.
    "sys.exit at the end of loading": "import sys\ndef secret(x):\n    return 0\nsys.exit(0)",
    "sys.exit in a call": "import sys\ndef secret(x):\n    sys.exit(0)",
    "exit": "def secret(x):\n    exit()",
    "SystemExit with a value": "def secret(x):\n    raise SystemExit(924117)",
    "KeyboardInterrupt": "def secret(x):\n    raise KeyboardInterrupt",
    "GeneratorExit": "def secret(x):\n    raise GeneratorExit",
    "an exception of its own": "class Done(BaseException):\n    def __str__(self):\n        raise self\n    __repr__ = __str__\ndef secret(x):\n    raise Done",
    "an exception that loops": "class Done(Exception):\n    def __str__(self):\n        while True:\n            pass\n    args = property(__str__)\ndef secret(x):\n    raise Done",
    "an exception with the harness's name": "class Stopped(Exception):\n    pass\ndef secret(x):\n    raise Stopped('!')",
    "a forged StepLimit": "class StepLimit(BaseException):\n    pass\ndef secret(x):\n    raise StepLimit",
    "a surrogate in an exception": "def secret(x):\n    raise ValueError('\\ud800' * 100, 10 ** 5000)",
    "a surrogate as a result": "def secret(x):\n    return '\\ud800' + chr(0)",
    "a class with a hostile metaclass as an exception": "class M(type):\n    __module__ = property(lambda s: 1 / 0)\n    __hash__ = None\n    def __eq__(s, o):\n        raise SystemExit\nclass E(Exception, metaclass=M):\n    pass\ndef secret(x):\n    raise E",
    "a class with a long name as an exception": "def secret(x):\n    raise type('\\n' * 10**5, (Exception,), {})",
    "AssertionError": "def secret(x):\n    raise AssertionError('skip this test')",
    "StopIteration": "def secret(x):\n    raise StopIteration(924117)",
    "atexit": "import atexit\natexit.register(print)\ndef secret(x):\n    return 0",
    "signal": "import signal\nsignal.alarm(1)\ndef secret(x):\n    return 0",
    "threading": "import threading\nthreading.Thread(target=print).start()\ndef secret(x):\n    return 0",
    "_thread": "import _thread\n_thread.start_new_thread(print, ())\ndef secret(x):\n    return 0",
    "asyncio": "import asyncio\ndef secret(x):\n    return asyncio.run(None)",
    "multiprocessing": "import multiprocessing\ndef secret(x):\n    return 0",
    "subprocess": "import subprocess\ndef secret(x):\n    return subprocess.check_output(['id'])",
    "os.fork": "import os\nos.fork()\ndef secret(x):\n    return 0",
    "os._exit": "def secret(x):\n    for kind in object.__subclasses__():\n        g = getattr(getattr(kind, '__init__', None), '__globals__', {})\n        if '_exit' in g:\n            g['_exit'](0)\n        if 'sys' in g:\n            g['sys'].modules['posix']._exit(0)\n    return 0",
    "posix by walking": "def secret(x):\n    for kind in object.__subclasses__():\n        g = getattr(getattr(kind, '__init__', None), '__globals__', {})\n        if 'sys' in g:\n            posix = g['sys'].modules['posix']\n            return [posix.getpid(), posix.open('/etc/passwd', 0), posix.fork()]\n    return 0",
    "time by walking": "def secret(x):\n    for kind in object.__subclasses__():\n        g = getattr(getattr(kind, '__init__', None), '__globals__', {})\n        if 'sys' in g and 'time' in g['sys'].modules:\n            return g['sys'].modules['time'].time()\n    return 0",
    "socket": "import socket\ndef secret(x):\n    return socket.create_connection(('localhost', 80))",
    "urllib": "import urllib.request\ndef secret(x):\n    return 0",
    "open": "def secret(x):\n    return open('/etc/passwd').read()",
    "open for writing": "open('plugin.py', 'w').write('x')\ndef secret(x):\n    return 0",
    "io.open": "import io\ndef secret(x):\n    return io.open('alft.py').read()",
    "io.FileIO by walking": "import io\ndef secret(x):\n    for kind in io.RawIOBase.__subclasses__():\n        kind('/etc/passwd')\n    return 0",
    "pathlib": "import pathlib\ndef secret(x):\n    return pathlib.Path('.').read_text()",
    "tempfile": "import tempfile\ndef secret(x):\n    return 0",
    "shutil": "import shutil\nshutil.rmtree('/')\ndef secret(x):\n    return 0",
    "faulthandler by walking": "def secret(x):\n    for kind in object.__subclasses__():\n        g = getattr(getattr(kind, '__init__', None), '__globals__', {})\n        if 'sys' in g:\n            g['sys'].modules['_frozen_importlib'].BuiltinImporter.load_module('faulthandler')._sigsegv()\n    return 0",
    "breakpoint": "def secret(x):\n    breakpoint()\n    return 0",
    "help": "def secret(x):\n    help()\n    return 0",
    "sys.settrace": "import sys\nsys.settrace(lambda *a: None)\ndef secret(x):\n    return 0",
    "sys.monitoring off, then a loop": "def secret(x):\n    for kind in object.__subclasses__():\n        g = getattr(getattr(kind, '__init__', None), '__globals__', {})\n        if 'sys' in g:\n            g['sys'].monitoring.set_events(2, 0)\n            break\n    while True:\n        pass",
    "closing stdout": "import sys\nsys.stdout.close()\ndef secret(x):\n    print(1)\n    return 0",
    "replacing stdout": "import sys\nsys.stdout = None\nsys.stderr = 5\ndef secret(x):\n    print(1)\n    return 0",
    "the record's separators": "def secret(x):\n    return '\"], [\"924117\"'",
    "the record's marks": "def secret(x):\n    return '#' + '0' * 32",
    "secret as no function": "secret = 924117 - 1",
    "secret as a class": "class secret(int):\n    def __new__(cls, x):\n        return int.__new__(cls, 0)",
    "no secret": "def other(x):\n    return 0",
    "async secret": "async def secret(x):\n    return 924117",
    "a decorated secret": "def always(function):\n    return lambda *a, **k: type('E', (), {'__eq__': lambda *a: True})()\n@always\ndef secret(x):\n    return 0",
    "secret by __getattr__": "def __getattr__(name):\n    return lambda *a: 0",
    "typing tricks": "from typing import *\ndef secret(x) -> Annotated[int, 924117]:\n    return cast(Any, '924117')",
    "a proxy by type()": "secret = type('F', (), {'__call__': lambda s, x: type('E', (int,), {'__eq__': lambda *a: True})(0)})()",
    "random guesses": "import random\ndef secret(x):\n    return random.randint(0, 10**6)",
    "the text of the prompt": "def secret(x):\n    return __doc__ or __file__ if '__file__' in globals() else 0",
    "a match statement": "def secret(x):\n    match secret:\n        case object(__globals__={'__builtins__': b}):\n            return len(b) * 0\n    return 0",
}

#: Escapes that end while they are loaded: they give no answer, and so earn no more than a wrong one.
NO_ANSWER = set(
    "inspect, ctypes, importlib, a code object of nonsense, codecs, warnings, pickle, atexit, signal, threading, _thread, asyncio, "
    "multiprocessing, subprocess, os.fork, socket, urllib, open for writing, pathlib, tempfile, shutil, sys.settrace, "
    "a metaclass that answers isinstance".split(", ")
)

#: Escapes that break the interpreter: failures, which the run drops.
VERDICTS = {name: None for name in NO_ANSWER} | {"the real sys": "trap"}
