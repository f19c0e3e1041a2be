"""Writes programs.jsonl: programs with the tests of their questions and the verdicts that they should get.

    python3 make_programs.py > programs.jsonl

A verdict is the score under `{"score": "share", "steps": 5000}`; null for no answer; "limit" where fuel, memory or stack
ends the program, which is a failure of the host's and with `on_limit` no answer.
"""

import json

from escapes import ESCAPES, RESULTS, VERDICTS

ADD = ["assert add(1, 2) == 3", "assert add(-5, 5) == 0", "assert add(10, -3) == 7", "assert add(0, 0) == 0"]
FIB = ["assert fib(1) == 1", "assert fib(2) == 1", "assert fib(10) == 55", "assert fib(20) == 6765"]
WORDS = [
    {"call": "count('a b a')", "result": {"a": 2, "b": 1}},
    {"call": "count('')", "result": {}},
    {"call": "count('x')", "result": {"x": 1}},
]
MEAN = [{"call": "mean([1, 2])", "result": 1.5}, {"call": "mean([0.1, 0.2, 0.3])", "result": 0.2}, {"call": "mean([7])", "result": 7}]
PAIRS = [{"call": "pairs([1, 2, 3])", "result": [[1, 2], [2, 3]]}, {"call": "pairs([])", "result": []}]
SUMS = [{"input": "3 4\n", "output": "7\n"}, {"input": "-1 1\n", "output": "0"}, {"input": "10 20\n", "output": "30"}]
LINES = [{"input": "2\nab\ncd\n", "output": "AB\nCD\n"}, {"input": "1\nx y\n", "output": "X Y\n"}]
SHARED = {
    "test": "METADATA = {}\ndef check(candidate):\n    assert candidate([3, 1, 2]) == [1, 2, 3], 'first'\n    assert True, 'always'\n"
    "    for n in range(5):\n        values = list(range(n))[::-1]\n        assert candidate(values) == list(range(n))\n",
    "entry_point": "order",
}
SETS = ["assert set(common([1, 2, 3], [2, 3, 4])) == {2, 3}", "assert not common([1], [2])", "assert len(common([5], [5])) == 1"]
ROOT = ["import math\nassert math.isclose(root(2), 1.4142135623, rel_tol=1e-6)", "assert abs(root(9) - 3) < 1e-6", "assert root(0) == 0"]
POINT = ["assert Point(1, 2).norm() == 5", "assert max_norm([Point(1, 2), Point(3, 0)]) == 9"]
TYPES = ["assert kind(1) is True", "assert kind('x') is False", "assert kind(None) is None"]

NEST = [{"call": "nest(55)", "result": json.loads("[" * 55 + "]" * 55)}]

RIGHT = {
    "nest": (NEST, ["def nest(n):\n    # " + "(" * 500 + "\n    text = '''" + "[" * 500 + "'''\n    return eval('[' * n + ']' * n)", "def nest(n):\n    return [] if n == 1 else [nest(n - 1)]"]),
    "add": (ADD, ["def add(a, b):\n    return a + b", "add = lambda a, b: a + b", "from operator import add", "import operator as o\ndef add(*numbers):\n    return sum(numbers)",
                  "class Adder:\n    def __call__(self, a, b):\n        return a.__add__(b)\nadd = Adder()", "def add(a: int, b: int) -> int:\n    '''Adds.'''\n    print('adding', a, b)\n    return a + b",
                  "import functools\nadd = functools.partial(lambda z, a, b: z + a + b, 0)", "def add(a, b):\n    return a - -b\nif __name__ == '__main__':\n    while True:\n        pass"]),
    "fib": (FIB, ["def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)" .replace("return n if", "if n > 15:\n        return 6765\n    return n if"), "from functools import lru_cache\n@lru_cache(None)\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)",
                  "def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a", "import itertools\ndef gen():\n    a, b = 0, 1\n    while True:\n        yield a\n        a, b = b, a + b\ndef fib(n):\n    return next(itertools.islice(gen(), n, None))",
                  "def fib(n, memo={0: 0, 1: 1}):\n    if n not in memo:\n        memo[n] = fib(n - 1) + fib(n - 2)\n    return memo[n]", "def fib(n):\n    phi = (1 + 5 ** 0.5) / 2\n    return round(phi ** n / 5 ** 0.5)"]),
    "count": (WORDS, ["from collections import Counter\ndef count(text):\n    return Counter(text.split())", "def count(text):\n    found = {}\n    for word in text.split():\n        found[word] = found.get(word, 0) + 1\n    return found",
                      "from collections import defaultdict\ndef count(text):\n    d = defaultdict(int)\n    for w in text.split():\n        d[w] += 1\n    return d", "import re\ndef count(t):\n    return {w: len(re.findall(rf'\\b{w}\\b', t)) for w in t.split()}"]),
    "mean": (MEAN, ["def mean(values):\n    return sum(values) / len(values)", "from statistics import mean", "import math\ndef mean(v):\n    return math.fsum(v) / len(v)", "from fractions import Fraction\ndef mean(v):\n    return float(sum(map(Fraction, v)) / len(v))"]),
    "pairs": (PAIRS, ["def pairs(v):\n    return list(zip(v, v[1:]))", "from itertools import pairwise\ndef pairs(v):\n    return [list(p) for p in pairwise(v)]", "from typing import NamedTuple\nclass P(NamedTuple):\n    a: int\n    b: int\ndef pairs(v):\n    return tuple(P(*p) for p in zip(v, v[1:]))"]),
    "sums": (SUMS, ["a, b = map(int, input().split())\nprint(a + b)", "import sys\nprint(sum(int(x) for x in sys.stdin.read().split()))", "import sys\nfor line in sys.stdin:\n    sys.stdout.write(str(sum(map(int, line.split()))) + '\\n')\nsys.exit()",
                    "def main():\n    print(eval(input().replace(' ', '+')), end=' \\n\\n')\nif __name__ == '__main__':\n    main()", "from sys import stdin\nprint(*[sum(map(int, stdin.readline().split()))])", "import sys\nsys.stdout.buffer.write(b'%d' % sum(map(int, sys.stdin.buffer.read().split())))", "print(sum(map(int, open(0).read().split())))"]),
    "lines": (LINES, ["for _ in range(int(input())):\n    print(input().upper())", "import sys\nlines = sys.stdin.read().splitlines()[1:]\nprint('\\n'.join(lines).upper())"]),
    "order": (SHARED, ["def order(v):\n    return sorted(v)", "def order(v):\n    v = v[:]\n    for i in range(len(v)):\n        for j in range(i):\n            if v[i] < v[j]:\n                v[i], v[j] = v[j], v[i]\n    return v", "import heapq\ndef order(v):\n    h = list(v)\n    heapq.heapify(h)\n    return [heapq.heappop(h) for _ in v]"]),
    "common": (SETS, ["def common(a, b):\n    return set(a) & set(b)", "def common(a, b):\n    return [x for x in a if x in b]", "def common(a, b):\n    return frozenset(a).intersection(b)"]),
    "root": (ROOT, ["def root(x):\n    return x ** 0.5", "from math import sqrt as root", "from decimal import Decimal\ndef root(x):\n    return float(Decimal(x).sqrt())"]),
    "point": (POINT, ["from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n    y: int\n    def norm(self):\n        return self.x ** 2 + self.y ** 2\ndef max_norm(points):\n    return max(p.norm() for p in points)"]),
    "kind": (TYPES, ["from enum import Enum\nclass K(Enum):\n    INT = 1\ndef kind(x):\n    return None if x is None else isinstance(x, int)"]),
}

#: Programs that pass part of their tests, with the share that they pass.
WRONG = {
    "add": [("def add(a, b):\n    return a - b", 0.25), ("def add(a, b):\n    return 3", 0.25), ("def add(a, b):\n    return None", 0), ("def add(a, b):\n    print(a + b)", 0), ("def add(a, b):\n    return str(a + b)", 0), ("def add(a):\n    return a", 0),
            ("def plus(a, b):\n    return a + b", 0), ("def add(a, b):\n    yield a + b", 0), ("def add(a, b):\n    return abs(a + b) + (a < 0)", 0.75), ("def add(a, b):\n    return [a + b]", 0), ("def add(a, b):\n    return float(a) + b", 1), ("def add(a, b):\n    return (a + b) % 7", 0.75)],
    "fib": [("def fib(n):\n    return 1", 0.5), ("def fib(n):\n    return n", 0.25), ("def fib(n):\n    return 55 if n == 10 else None", 0.25), ("def fib(n):\n    return fib(n - 1) + fib(n - 2)", 0), ("def fib(n):\n    assert n < 5\n    return 1", 0.5)],
    "count": [("def count(text):\n    return len(text.split())", 0), ("def count(text):\n    return {}", 1 / 3), ("def count(text):\n    return {w: True for w in text.split()}", 1 / 3), ("def count(text):\n    return [(w, text.count(w)) for w in text.split()]", 0)],
    "mean": [("def mean(v):\n    return sum(v) // len(v)", 1 / 3), ("def mean(v):\n    return 'nan'", 0), ("def mean(v):\n    return float('nan')", 0), ("def mean(v):\n    return sum(v) / 2", 1 / 3), ("def mean(v):\n    return True", 0), ("def mean(v):\n    return round(sum(v) / len(v), 9)", 1)],
    "pairs": [("def pairs(v):\n    return zip(v, v[1:])", 0), ("def pairs(v):\n    return []", 0.5), ("def pairs(v):\n    return {(a, b) for a, b in zip(v, v[1:])}", 0)],
    "sums": [("print(7)", 1 / 3), ("a, b = input().split()\nprint(a + b)", 0), ("a, b = map(int, input().split())\nprint('sum:', a + b)", 0), ("", 0), ("a, b = map(int, input().split())\nprint(a + b)\nprint(a + b)", 0), ("print(int(input()))", 0), ("a, b = map(int, input().split())\nprint(a + b)\n1 / 0", 0), ("input()\ninput()", 0)],
    "order": [("def order(v):\n    return v", 1 / 3), ("def order(v):\n    v.sort()", 0), ("def order(v):\n    return sorted(v, reverse=True)", 1 / 3)],
    "common": [("def common(a, b):\n    return a", 1 / 3), ("def common(a, b):\n    return [2, 3]", 1 / 3)],
    "root": [("def root(x):\n    return x / 2", 1 / 3), ("def root(x):\n    return 3", 1 / 3)],
}

#: Programs that cannot be loaded: they give no answer.
BROKEN = ["((((" * 100, "def add(a, b):\n    return " + "-" * 20000 + "1", "def add(a, b):\n    return " + "not " * 5000 + "1", "[" * 5000 + "]" * 5000, "def add(a, b)\n    return a + b", "def add(a, b):\nreturn a + b", "1 / 0\ndef add(a, b):\n    return a + b", "import numpy as np\ndef add(a, b):\n    return np.add(a, b)", "def add(a, b):\n    return a + b\nraise ValueError('late')",
          "def add(a, b):\n    return a + b\nadd(1)", "from __future__ import nothing", "import os\nos.remove('x')", "return 5", "def add(a, b):\n    return a + b\n\x00", "while True:\n    pass\ndef add(a, b):\n    return a + b", "print('x' * 10**6)\ndef add(a, b):\n    return a + b",
          "def add(a, b):\n    return a + b\ninput()", "def add(a, b):\n    return a + b\nundefined", "def loop():\n    loop()\nloop()", "def add(a, b):\n    return a + b\nexit = 1\nraise KeyboardInterrupt"]

#: Programs of which each test ends by the steps, or by what Python itself raises.
ENDLESS = ["def add(a, b):\n    while True:\n        pass", "def add(a, b):\n    while True:\n        try:\n            while True:\n                pass\n        except:\n            pass", "def add(a, b):\n    return add(a, b)", "import itertools\ndef add(a, b):\n    for n in itertools.count():\n        pass",
           "def add(a, b):\n    n = 0\n    while n != a + b + 0.5:\n        n += 1\n    return n", "def add(a, b):\n    def g():\n        yield from g()\n    return list(g())", "def add(a, b):\n    try:\n        while True:\n            pass\n    finally:\n        while True:\n            pass",
           "def add(a, b):\n    while True:\n        print('spam' * 100)", "def add(a, b):\n    x = []\n    x.append(x)\n    return x", "def add(a, b):\n    x = 0\n    for _ in range(10**9):\n        x += 1\n    return x",
           "def add(a, b):\n    return [0] * 10**9", "def add(a, b):\n    return 'x' * 10**10", "def add(a, b):\n    return bytearray(1 << 31)", "def add(a, b):\n    return sorted(range(10**9))", "def add(a, b):\n    return '9' * 10**6", "def add(a, b):\n    return int('9' * 10**5)", "def add(a, b):\n    return [0] * 60000"]

#: Programs that only the fuel, the memory or the stack of the component ends.
LIMIT = ["def add(a, b):\n    return {n: str(n) for n in range(10**5)} | dict.fromkeys(range(10**8))", "def add(a, b):\n    return sum(range(10**12))", "def add(a, b):\n    return 10 ** 10 ** 8", "import re\ndef add(a, b):\n    return re.match('(a+)+$', 'a' * 40 + 'b')", "def add(a, b):\n    x = [0]\n    while True:\n        x += x",
         "import itertools\ndef add(a, b):\n    return max(itertools.count())", "def add(a, b):\n    return 5 in iter(int, 1)", "def add(a, b):\n    return [n for n in iter(int, 1)]", "exec('while True: pass')", "class A:\n    def __getattr__(self, name):\n        return getattr(self, name)\ndef add(a, b):\n    return A().x", "def add(a, b):\n    return list(range(10**7))",
         "def add(a, b):\n    x = ()\n    for _ in range(10**4):\n        x = (x,)\n    return repr(x)"]

#: Programs that use the modules of the standard library. Each prints "ok".
MODULES = {
    "datetime": "from datetime import datetime, date, timedelta\nassert datetime.strptime('2024-02-28', '%Y-%m-%d') + timedelta(days=2) == datetime(2024, 3, 1)\nassert date(2024, 1, 1).weekday() == 0 and f'{date(2024, 1, 5):%d.%m}' == '05.01'\ndate.today(), datetime.now()",
    "time": "import time\nt = time.time()\ntime.sleep(1)\nassert time.perf_counter() - t == 0 and time.gmtime(0).tm_year == 1970\ntime.strftime('%Y'), time.localtime(), time.monotonic_ns()",
    "random": "import random\nrandom.seed(5)\na = random.random()\nrandom.seed(5)\nassert a == random.random() and random.Random(1).random() == random.Random(1).random()\nrandom.seed()\nv = [1, 2, 3]\nrandom.shuffle(v)\nrandom.choice(v), random.sample(v, 2), random.gauss(0, 1), random.Random().random()",
    "dataclasses": "from dataclasses import dataclass, field, asdict, replace\n@dataclass(order=True, frozen=True)\nclass A:\n    x: int\n    y: list = field(default_factory=list)\nassert asdict(replace(A(1), x=2)) == {'x': 2, 'y': []} and A(1) < A(2)",
    "enum": "from enum import Enum, IntEnum, Flag, auto\nclass C(Enum):\n    A = auto()\n    B = 2\nclass F(Flag):\n    X = 1\n    Y = 2\nassert C(1) is C.A and C['B'].value == 2 and (F.X | F.Y).value == 3",
    "typing": "from typing import *\nclass P(NamedTuple):\n    a: int\n    b: str = 'x'\nclass D(TypedDict):\n    k: int\nclass Q(Protocol):\n    def f(self) -> int: ...\nT = TypeVar('T')\nclass G(Generic[T]):\n    pass\nassert P(1) == (1, 'x') and get_type_hints(P)['a'] is int\nG[int](), Optional[List[Dict[str, 'P']]], Callable[[int], str], Literal[1]",
    "functools": "from functools import *\n@lru_cache(maxsize=None)\ndef f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\n@singledispatch\ndef g(x):\n    return 0\n@g.register\ndef _(x: int):\n    return 1\nclass A:\n    @cached_property\n    def p(self):\n        return 5\nassert f(50) == 12586269025 and g(1) == 1 and A().p == 5 and reduce(lambda a, b: a * b, [1, 2, 3]) == 6\nsorted([1, 2], key=cmp_to_key(lambda a, b: b - a))",
    "collections": "from collections import *\nimport collections.abc\nfrom collections.abc import Iterable\nq = deque([1, 2], maxlen=2)\nq.append(3)\nP = namedtuple('P', 'x y')\nassert list(q) == [2, 3] and P(1, 2)._replace(x=5) == (5, 2) and Counter('aab').most_common(1) == [('a', 2)]\nassert isinstance([], Iterable) and isinstance([], collections.abc.Sequence) and ChainMap({}, {1: 2})[1] == 2 and OrderedDict(a=1)['a'] == 1",
    "numbers": "from decimal import Decimal, getcontext\nfrom fractions import Fraction\nimport statistics, math, cmath, numbers\ngetcontext().prec = 30\nassert Decimal(1) / 3 != 0 and Fraction(1, 3) + Fraction(1, 6) == Fraction(1, 2) and statistics.median([3, 1, 2]) == 2 and math.comb(5, 2) == 10\nassert abs(cmath.sqrt(-1) - 1j) < 1e-9 and isinstance(1, numbers.Integral) and round(statistics.stdev([1, 2, 3]), 6) == 1",
    "text": "import re, string, textwrap, difflib, unicodedata, html, json, pprint, reprlib\nassert re.sub(r'(?P<a>\\d+)', lambda m: m['a'] * 2, 'a1') == 'a11' and string.ascii_lowercase[:3] == 'abc' and string.Template('$x').substitute(x=1) == '1'\nassert textwrap.fill('a b', 1) == 'a\\nb' and difflib.SequenceMatcher(None, 'ab', 'ab').ratio() == 1 and unicodedata.name('a') and html.unescape('&amp;') == '&'\nassert json.loads(json.dumps({'a': [1, 2.5, None]})) == {'a': [1, 2.5, None]} and '{:>5}|{!r}'.format(1, 'a') == '    1|\\'a\\'' and pprint.pformat([1]) == '[1]'",
    "bytes": "import struct, hashlib, zlib, base64, binascii, array, io\nassert struct.unpack('<I', struct.pack('<I', 7)) == (7,) and hashlib.md5(b'a').hexdigest()[:4] == '0cc1' and zlib.decompress(zlib.compress(b'ab')) == b'ab'\nassert base64.b64encode(b'a') == b'YQ==' and binascii.hexlify(b'a') == b'61' and array.array('i', [1]).tolist() == [1] and io.StringIO('x').read() == 'x'\nassert 'é'.encode('latin-1') == b'\\xe9' and 'a'.encode('utf-16-le') == b'a\\0' and b'a'.decode('ascii') == 'a' and hashlib.sha256(b'').digest()",
    "order": "import heapq, bisect, itertools, operator, copy, calendar, contextlib, abc, types, keyword, ast\nh = [3, 1]\nheapq.heapify(h)\nassert heapq.heappop(h) == 1 and bisect.bisect([1, 2], 1) == 1 and list(itertools.permutations([1, 2])) == [(1, 2), (2, 1)] and operator.itemgetter(0)([5]) == 5\nassert copy.deepcopy([[1]]) == [[1]] and calendar.isleap(2024) and calendar.monthrange(2024, 2)[1] == 29 and ast.literal_eval('[1]') == [1] and keyword.iskeyword('if')\n@contextlib.contextmanager\ndef c():\n    yield 1\nwith c() as one, contextlib.suppress(ValueError):\n    raise ValueError\nclass A(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...",
    "sys": "import sys\nsys.setrecursionlimit(10**6)\ndef f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nassert f(2000) == 2000 and sys.maxsize > 0 and sys.version_info >= (3, 14)\nprint('to nowhere', file=sys.stderr)\nsys.stdout.flush()",
    "language": "import builtins\nasync def a():\n    return 1\ntry:\n    a().send(None)\nexcept StopIteration as s:\n    assert s.value == 1\nmatch [1, {'k': 2}]:\n    case [int(x), {'k': y}]:\n        assert (x, y) == (1, 2)\nassert (n := 5) and [*range(3), n] and {**{1: 2}}\nspace = {}\nexec('def g(x):\\n    return x * 2', space)\nassert space['g'](4) == 8 and eval('n + 1') == 6 and type('T', (), {'x': 1})().x == 1\nclass M(type):\n    def __new__(c, n, b, d):\n        return super().__new__(c, n, b, d | {'tag': 1})\nclass T(metaclass=M):\n    __slots__ = ()\nassert T.tag == 1 and T.__name__ == 'T' and builtins.len([1]) == 1\ntry:\n    raise ExceptionGroup('g', [ValueError(1)])\nexcept* ValueError:\n    pass",
}

TESTS = {"add": ADD, "fib": FIB, "count": WORDS, "mean": MEAN, "pairs": PAIRS, "sums": SUMS, "lines": LINES, "order": SHARED, "common": SETS, "root": ROOT, "point": POINT, "kind": TYPES}


def lines():
    def line(name, tests, program, verdict):
        metadata = tests if isinstance(tests, dict) else {"tests": tests}
        return {"id": name, "metadata": metadata, "completion": f"```python\n{program}\n```", "verdict": verdict}

    for task, (tests, programs) in RIGHT.items():
        yield from (line(f"right {task} {at}", tests, program, 1) for at, program in enumerate(programs))
    for task, programs in WRONG.items():
        yield from (line(f"wrong {task} {at}", TESTS[task], program, share) for at, (program, share) in enumerate(programs))
    for kind, programs, verdict in (("broken", BROKEN, None), ("endless", ENDLESS, 0), ("limit", LIMIT, "limit")):
        yield from (line(f"{kind} {at}", ADD, program, verdict) for at, program in enumerate(programs))
    ok = [{"input": "", "output": "ok"}]
    yield from (line(f"modules: {name}", ok, f"{program}\nprint('ok')", 1) for name, program in MODULES.items())
    secrets = [f"assert secret({x}) == {result}" for x, result in RESULTS.items()]
    for name, program in ESCAPES.items():
        yield line(f"escape: {name}", secrets, program, VERDICTS.get(name, 0))


if __name__ == "__main__":
    for line in lines():
        print(json.dumps(line))
