"""What a program must not reach in the interpreter that it shares with this plugin.

Functions of the system are traps in a component, and a trap would be a failure of the plugin instead of an exception of the
program. Frames lead to the code that runs the program. Both are refused by exceptions, whatever way the program takes to
them. The last line of defence is not here: the expected results are not in the instance.
"""

import sys

#: Events of the interpreter that are refused while a program runs, with the attributes of `object.__getattr__`.
EVENTS = set(
    "sys._getframe sys._current_frames sys._current_exceptions gc.get_objects gc.get_referrers gc.get_referents code.__new__ "
    "marshal.loads sys.settrace sys.setprofile sys.addaudithook sys.monitoring.register_callback _thread.start_new_thread "
    "_thread.start_joinable_thread".split()
)
ATTRIBUTES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame", "f_code"}

#: Modules of the system whose functions are replaced.
SYSTEM = ("posix", "time", "_thread", "_signal", "faulthandler")

#: Functions of these modules that ask nothing of the system, and that the interpreter's own modules need.
KEPT = {"fspath", "get_ident", "allocate_lock", "RLock"}

#: Functions of `_imp` that load a module anew, with all its functions.
LOADERS = ("create_builtin", "exec_builtin", "create_dynamic", "exec_dynamic")

BUILTIN = type(len)

#: True while a program runs.
inside = False


def refused(*_, **__):
    raise PermissionError("a program has no files, processes, clock, threads or frames")


def audit(event, arguments):
    if inside and (event in EVENTS or event == "object.__getattr__" and arguments[1] in ATTRIBUTES):
        refused()


if sys.platform == "wasi":
    sys.addaudithook(audit)


def seal_system():
    """Replaces the functions of the system, for the life of this instance."""
    if sys.platform != "wasi":
        return
    for module in filter(None, map(sys.modules.get, SYSTEM)):
        names = vars(module)
        names.update({name: refused for name, value in names.items() if type(value) is BUILTIN and name not in KEPT})
    vars(sys.modules["_imp"]).update(dict.fromkeys(LOADERS, refused))


class sealed:
    """Within this context a program runs."""

    def __enter__(self):
        global inside
        inside = True

    def __exit__(self, *_):
        global inside
        inside = False
