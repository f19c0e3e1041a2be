"""Running a program: its own names and modules, what it reads and prints, and the text of what it computes.

The program shares the interpreter with this code and may do to it whatever it likes: all that comes of it is the record of
this program's results, in an instance that ends with the call, and the expected results are not in that instance.
"""

import builtins
import io
import sys
from types import ModuleType

from modules import Modules
from seal import sealed
from steps import NAME, Steps, counted
from values import NotPlain, record

#: The name of a program's code in tracebacks.
FILE = "<program>"

#: Characters that a program may print in a run.
OUTPUT = 200_000


class OutputLimit(BaseException):
    """The program printed more than OUTPUT characters."""


class Output(io.TextIOBase):
    """The program's standard output, up to a limit."""

    def __init__(self):
        self.parts, self.left = [], OUTPUT

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.left -= len(text)
        if self.left < 0:
            raise OutputLimit
        self.parts.append(text)
        return len(text)

    def writable(self):
        return True

    def text(self):
        return "".join(self.parts)

    @property
    def buffer(self):
        return OutputBytes(self)


class OutputBytes(io.RawIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, output):
        self.output = output

    def write(self, data):
        self.output.write(bytes(data).decode())
        return len(data)

    def writable(self):
        return True


class Program:
    """A compiled program. Raises what the compiler raises."""

    def __init__(self, source, setup, steps):
        self.code = counted(source, FILE)
        self.setup = compile(setup, "<setup>", "exec", dont_inherit=True)
        self.steps = steps
        #: The reason of the first failure, for the log.
        self.reason = None
        #: True once a run was ended by a limit. Then no other is begun: it would most likely end so too, at the same cost.
        self.ended = False
        # A name that the program replaces in `builtins` is replaced for it alone.
        module = ModuleType("builtins")
        self.builtins = vars(module)
        self.builtins |= vars(builtins) | {
            "__import__": Modules(module).load,
            "open": opened,
            "exit": leave,
            "quit": leave,
            "breakpoint": no_debugger,
        }
        self.builtins.pop("help", None)

    def load(self, name, text=""):
        """Runs the program as a module of this name that reads `text`. Returns its namespace, what it printed,
        and "!" with the name of its failure or None."""
        module = ModuleType(name)
        # Data classes and enumerations look up the module of their definition.
        sys.modules[name] = module
        namespace = vars(module)
        namespace["__builtins__"] = self.builtins
        output = Output()

        def run():
            exec(self.setup, namespace)
            exec(self.code, namespace)

        failure = self.guarded(run, output, text, may_exit=True)
        return namespace, output.text(), failure

    def compute(self, function):
        """Calls a function of the program. Returns the record of its result, or "!" with the name of its failure."""
        result = []

        def run():
            result.append(record(function()))

        return self.guarded(run, Output()) or result[0]

    def guarded(self, run, output, text="", may_exit=False):
        """Runs a part of the program. Returns None, or "!" with the name of its failure."""
        if self.ended:
            return "!StepLimit"
        steps = Steps(self.steps)
        self.builtins[NAME] = steps.step
        streams = sys.stdin, sys.stdout, sys.stderr
        stdin = io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8")
        sys.stdin, sys.stdout, sys.stderr = stdin, output, Output()
        try:
            with sealed():
                run()
            return self.limited(steps)
        except SystemExit:
            # A program may end so; a function that ends the program has no result.
            return self.limited(steps) or (None if may_exit else self.failed("SystemExit", "a function ended the program"))
        except OutputLimit:
            return self.failed("OutputLimit", f"it printed more than {OUTPUT} characters")
        except NotPlain as error:
            return self.failed("NotPlain", str(error))
        except BaseException as error:
            line = last_line(error, wanted=self.reason is None)
            return self.limited(steps) or self.failed(*described(error, line))
        finally:
            sys.stdin, sys.stdout, sys.stderr = streams

    def limited(self, steps):
        """Returns the failure of a run that used up its steps, or None."""
        if not steps.are_used_up():
            return None
        self.ended = True
        return self.failed("StepLimit", f"more than {self.steps} steps: a loop that does not end, or `steps` is too low")

    def failed(self, name, detail=""):
        if self.reason is None:
            self.reason = f"{name}: {detail}" if detail else name
        return "!" + name


#: The exceptions of Python itself.
EXCEPTIONS = [kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)]


def described(error, line):
    """Returns the name of an exception's class, and its message if no code of the program is needed for it."""
    kind = type(error)
    name = type.__dict__["__name__"].__get__(kind)[:60]
    detail = ""
    if any(kind is known for known in EXCEPTIONS):
        arguments = BaseException.args.__get__(error)
        detail = ", ".join([part[:200] for part in arguments if type(part) is str])
    return name, detail + (f" (line {line})" if line else "")


def last_line(error, wanted):
    """Takes an exception's traceback apart, from the inside: that of a deep recursion would overflow the stack when it is
    freed as a whole. Returns the last line of the program in it, if it is wanted."""
    line, traces = None, []
    trace = BaseException.__traceback__.__get__(error)
    while trace is not None:
        if wanted and trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        traces.append(trace)
        trace = trace.tb_next
    for trace in traces:
        trace.tb_next = None
    BaseException.__traceback__.__set__(error, None)
    trace = None
    while traces:
        traces.pop()
    return line


def opened(file, *_, **__):
    if file == 0:
        return sys.stdin
    raise PermissionError("a program has no files")


def no_debugger(*_, **__):
    raise RuntimeError("a program has no debugger")


def leave(code=None):
    raise SystemExit(code)
