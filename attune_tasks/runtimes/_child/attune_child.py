"""Runs one Python action. This is the child's side: a fork of its pack's launcher, or a fresh ``python -I``.

It has nothing but the stdlib, and imports neither json nor re, enum or typing: ``import json`` alone is 9 of the 24 ms
that a plain child takes. The secrets' line is read from standard input, and not a byte more; the rest comes by the pipe
``ATTUNE_PARAMS_FD``.
"""

import _io
import _signal
import _thread
import builtins
import gc
import os
import sys

_MAX_RESULT = 1 << 20
_MAX_ERROR = 1 << 16  # characters; process/control.py has the same figure
_MAX_MASK = 1 << 16  # characters; the same
_MAX_PROGRESS = 512  # characters; the same. No line of it is longer than a pipe takes in one piece
_CO_NEWLOCALS = 0x2  # set for functions, not for classes and modules (inspect.CO_NEWLOCALS)
_FLUSH_FAILED = 120  # what an interpreter ends with that could not write its output

_LOCALE_NAMES = (b"LANG", b"LC_ALL", b"LC_CTYPE")

_state = {"modules": frozenset(), "spaces": (), "locale": {}}
"""What was loaded before the action, the names that it has, and the locale that was taken already."""


def main():
    """Run the action in a fresh interpreter."""
    # The interpreter's own objects: the collection at its end need not go through them.
    gc.freeze()
    _end(_outcome())


def prepare(locale):
    """Do in the launcher what all its forks need; `locale` is the worker's LANG and LC_* by name."""
    import atexit  # noqa: F401 - so that it is there

    # What is done for the first time writes to memory, which each fork would have to copy; the first compile() alone
    # makes the types of Python's syntax trees, in 1.4 ms.
    space = {}
    exec(compile("def run(params):\n    return {'rehearsed': params}\n", "<rehearsal>", "exec"), space)
    _read_json(_dumps(space["run"]({"text": [1, 2.5, True, None]})))
    # An action's streams are pipes. Those of the launcher know /dev/null, which one can seek in.
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)  # what a preload printed is no action's output
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        ends = os.pipe()
        os.dup2(ends[mode == "w"], number)
        os.close(ends[0])
        os.close(ends[1])
        buffer = _io.open(number, mode + "b", -1, closefd=False)
        buffer.raw.name = f"<{name}>"
        is_stderr = name == "stderr"
        errors = "backslashreplace" if is_stderr else "surrogateescape"
        newline = "\n" if mode == "w" else None
        stream = _io.TextIOWrapper(buffer, "utf-8", errors, newline, line_buffering=is_stderr)
        stream.mode = mode
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    _set_locale(locale)
    _state["locale"] = {name: locale[name] for name in _LOCALE_NAMES if name in locale}


def forked(env, dumpable):
    """Run the action in a fork of the launcher, made to look like a fresh interpreter with the environment `env`."""
    # As os.environ itself does it, but for the way through three classes, which costs a fork a hundred page faults.
    variables = os.environ._data  # noqa: SLF001
    for name in list(variables):
        os.unsetenv(name)
    variables.clear()
    for name, value in env.items():
        os.putenv(name, value)
    variables.update(env)
    if {name: env[name] for name in _LOCALE_NAMES if name in env} != _state["locale"]:
        _set_locale({})
    if b"TZ" in env:
        import time

        time.tzset()
    if dumpable:
        import ctypes

        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
    for name in ("attune_launcher", "attune_children", "attune_folder", "attune_setup", "attune_tree"):
        sys.modules.pop(name, None)
    _end(_outcome())


def _set_locale(variables):
    """Take the locale from the environment, as an interpreter does at its start, or from `variables`, if any."""
    import _locale

    kept = os.environb.copy() if variables else None
    try:
        if variables:
            os.environb.update(variables)
        _locale.setlocale(_locale.LC_CTYPE, "")
    except _locale.Error:
        _locale.setlocale(_locale.LC_CTYPE, "C")
    finally:
        if kept is not None:
            for name in variables:
                if name not in kept:
                    del os.environb[name]


def _outcome():
    """Do what the worker says; give the exit code, or the negative number of the signal to end by."""
    control = _kept(int(os.environ.pop("ATTUNE_CONTROL_FD")))
    told = _read_json(_read_all(int(os.environ.pop("ATTUNE_PARAMS_FD"))).decode("utf-8", "surrogatepass"))
    secrets = _read_json(_read_line(told["secrets_bytes"]).decode("utf-8", "surrogatepass"))
    _install(secrets, control)
    path, code, parameters = told["path"], told["code"], told["parameters"]
    sys.path[:0] = [folder for folder in (path and os.path.dirname(path), told["lib"]) if folder]
    sys.argv = [path or "-c"]
    for name in ("attune_child", "__main__"):
        sys.modules.pop(name, None)
    _state["modules"] = frozenset(sys.modules)
    try:
        result = _run(path, code, parameters, secrets)
        if result is not None:
            _say_result(control, result)
    except SystemExit as error:
        return _exit_code(error.code)
    except BaseException as error:  # noqa: BLE001 - it is the action's, and is told below
        if isinstance(error, Exception):
            _say_error(control, type(error).__name__, _text_of(error))
        error.__traceback__ = _without_our_frames(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return -_signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _exit_code(code):
    """Do with sys.exit's argument what an interpreter does."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    _flush(sys.stdout)
    sys.stderr.write(f"{code}\n")
    return 1


def _end(code):
    """End as an interpreter does: threads, atexit, what is still open; but not by taking everything apart.

    That takes a fork 3.5 ms, and 20 where requests was loaded. What the action made is dropped, so that it is
    finalized.
    """
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()  # noqa: SLF001 - what an interpreter calls at its end
        import atexit

        atexit._run_exitfuncs()  # noqa: SLF001 - there is no other way to run them
    except BaseException as error:  # noqa: BLE001 - the end goes on
        sys.excepthook(type(error), error, error.__traceback__)
    if not (_flush(sys.stdout) and _flush(sys.stderr)) and code == 0:
        code = _FLUSH_FAILED
    _drop_what_the_action_made()
    _flush(sys.stdout)
    _flush(sys.stderr)
    if code < 0:
        _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _drop_what_the_action_made():
    sys.last_type = sys.last_value = sys.last_traceback = sys.last_exc = None
    # First of all, for in a cycle of garbage a file's buffer may be finalized before what still has text for it.
    for kept in gc.get_objects():
        if isinstance(kept, (_io.TextIOWrapper, _io.BufferedWriter, _io.BufferedRandom)) and not kept.closed:
            _flush(kept)
    for name in [name for name in sys.modules if name not in _state["modules"]]:
        del sys.modules[name]
    for space in _state["spaces"]:
        for name in list(space):
            if name != "__builtins__":
                space[name] = None
    kept = None
    gc.collect()


def _flush(stream):
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except (OSError, ValueError):
        return False
    return True


def _run(path, code, parameters, secrets):
    filename = path or "<action>"
    if code is None:
        with open(path, "rb") as file:
            code = file.read()
    compiled = compile(code, filename, "exec", dont_inherit=True)
    has_run = any(
        getattr(constant, "co_name", None) == "run" and constant.co_flags & _CO_NEWLOCALS
        for constant in compiled.co_consts
    )
    main_module = type(sys)("__main__")
    sys.modules["__main__"] = main_module
    module = _action_module(path) if has_run else main_module
    _state["spaces"] = (module.__dict__, main_module.__dict__)
    space = module.__dict__
    space["__builtins__"] = builtins
    if path:
        space["__file__"] = path
    space["_attune_secrets"] = secrets
    for name in ("get_secret", "mask", "set_progress"):
        space[name] = getattr(builtins, name)
    exec(compiled, space)
    if not has_run or "run" not in space:
        return None
    result = space["run"](parameters)
    if hasattr(result, "__await__"):
        import asyncio

        async def awaited(awaitable):
            return await awaitable

        result = asyncio.run(awaited(result))
    return result


def _action_module(path):
    """Make the module of an action with ``run``. Its name is that under which a spawned process can import it."""
    stem = os.path.basename(path or "action.py").rpartition(".")[0] or "action"
    taken = "." in stem or stem in sys.modules or stem in sys.stdlib_module_names
    name = "attune_action" if taken else stem
    module = type(sys)(name)
    if path:
        import _frozen_importlib
        import _frozen_importlib_external

        loader = _frozen_importlib_external.SourceFileLoader(name, path)
        module.__spec__ = _frozen_importlib.ModuleSpec(name, loader, origin=path)
        module.__loader__ = loader
    sys.modules[name] = module
    return module


def _install(secrets, control):
    """Make the names that an action finds."""

    def get_secret(name, default=None):
        """Give the value of a secret that the action declares; `default` where there is none of this name."""
        return secrets.get(name, default)

    def set_progress(percent, message=""):
        """Say how far the action is, 0 to 100, and what it does; whoever follows it sees that."""
        percent = float(percent)
        if percent != percent:  # noqa: PLR0124 - NaN alone is not itself; math is not loaded here
            text = "set_progress: the percent is not a number"
            raise ValueError(text)
        percent, text = f"{min(100.0, max(0.0, percent)):.1f}", _quoted(str(message)[:_MAX_PROGRESS])
        with _writing:
            _write(control, f'{{"type":"progress","percent":{percent},"message":{text}}}\n'.encode("utf-8", "replace"))

    def mask(value):
        """Have `value`, text or bytes, masked wherever it is said from now on."""
        text = value.decode("utf-8", "surrogateescape") if isinstance(value, (bytes, bytearray)) else value
        if not isinstance(text, str) or len(text) > _MAX_MASK:
            problem = f"mask: expected text or bytes, at most {_MAX_MASK} characters"
            raise ValueError(problem)
        with _writing:
            written = _write(control, f'{{"type":"mask","value":{_quoted(text)}}}\n'.encode("utf-8", "surrogateescape"))
        if not written:
            problem = "mask: the action has closed the descriptor by which it says what to mask"
            raise RuntimeError(problem)

    builtins.get_secret, builtins.mask, builtins.set_progress = get_secret, mask, set_progress


def _kept(descriptor):
    """Keep the control channel from what the action starts; give what it is known by."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - it takes no name
    status = os.fstat(descriptor)
    return descriptor, status.st_dev, status.st_ino


def _read_all(descriptor):
    pieces = []
    while piece := os.read(descriptor, 65536):
        pieces.append(piece)
    os.close(descriptor)
    return b"".join(pieces)


def _read_line(length):
    pieces = []
    while length:
        piece = os.read(0, min(length, 65536))
        if not piece:
            msg = "attune_tasks: the secrets' line ended too early"
            raise SystemExit(msg)
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _json_functions():
    """Give a reader and a writer of JSON: by the C functions behind `json`, or where they are others, by it."""
    try:
        import _json

        class Plain:
            strict = True
            object_hook = object_pairs_hook = None
            parse_float, parse_int = float, int
            parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}.get

        scan = _json.make_scanner(Plain)
        no = False  # sort_keys, skipkeys, allow_nan: the C function takes no names
        _json.make_encoder({}, _refuse, _json.encode_basestring_ascii, None, ":", ",", no, no, no)
    except (ImportError, AttributeError, TypeError):
        import json

        return json.loads, lambda value: json.dumps(value, default=_refuse, allow_nan=False)

    def dumps(value):
        # With marks of its own: an encoder that failed keeps those of what it was in the midst of.
        encode = _json.make_encoder({}, _refuse, _json.encode_basestring_ascii, None, ":", ",", no, no, no)
        return "".join(encode(value, 0))

    return lambda text: scan(text, 0)[0], dumps


def _refuse(value):
    msg = f"JSON can't hold a {type(value).__name__}"
    raise TypeError(msg)


_read_json, _dumps = _json_functions()
try:
    from _json import encode_basestring as _quoted  # shorter than in ASCII
except ImportError:
    _quoted = _dumps
_writing = _thread.RLock()  # keeps a thread's progress out of the midst of a result
os.register_at_fork(after_in_child=_writing._at_fork_reinit)  # type: ignore[attr-defined]  # noqa: SLF001 - as threading does


def _say_result(control, value):
    text = problem = None
    try:
        text = _dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        problem = "result_not_json", f"run() returned what JSON can't hold: {error}"
    else:
        if len(text) > _MAX_RESULT - 64:
            problem = "result_too_large", "run() returned more than 1 MiB: print it or store it, and return its place"
            text = None
    with _writing:
        written = text is None or _write(control, b'{"type":"result","value":' + text.encode() + b"}\n")
    if not written:
        problem = "result_lost", "the action closed the descriptor by which run() returns its result"
    if problem is not None:
        _say_error(control, *problem)
        sys.stderr.write("attune_tasks: " + problem[1] + "\n")
        sys.exit(1)


def _say_error(control, kind, message):
    with _writing:
        said = {"type": "error", "error_type": kind[:_MAX_ERROR], "message": message[:_MAX_ERROR]}
        _write(control, _dumps(said).encode() + b"\n")


def _text_of(error):
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the text of an error is not worth another error
        return "(its str() failed)"


def _write(control, data):
    """Write to the channel; give whether it is still there. The action may have closed it, and opened its own file."""
    number, *identity = control
    view = memoryview(data)
    try:
        status = os.fstat(number)
        if [status.st_dev, status.st_ino] != identity:
            return False
        while view:
            view = view[os.write(number, view) :]
    except OSError:
        return False
    return True


def _without_our_frames(traceback):
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback
