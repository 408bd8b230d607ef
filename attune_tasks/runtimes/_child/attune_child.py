"""Runs one Python action. This is the child's side: it is started by ``python -I`` and has nothing but the stdlib.

It imports neither json nor re, enum or typing: ``import json`` alone is 9 of the 24 ms that a plain child takes. The
secrets' line is read from standard input, and not a byte more; the rest comes by the pipe ``ATTUNE_PARAMS_FD``.
"""

import builtins
import gc
import os
import sys

_BLOCK = 512
_MAX_RESULT = 1 << 20
_MAX_ERROR = 1 << 16  # characters; process/control.py has the same figure
_CO_NEWLOCALS = 0x2  # set for functions, not for classes and modules (inspect.CO_NEWLOCALS)


def main():
    """Read what the worker says, run the action, say its result."""
    control = _moved_away(int(os.environ.pop("ATTUNE_CONTROL_FD")))
    told = _loads(_read_all(int(os.environ.pop("ATTUNE_PARAMS_FD"))))
    secrets = _loads(_read_line(told["secrets_bytes"]))
    _default_signals()
    _install_get_secret(secrets)
    path, code, parameters = told["path"], told["code"], told["parameters"]
    sys.path[:1] = [folder for folder in (path and os.path.dirname(path), told["lib"]) if folder]
    sys.argv = [path or "-c"]
    for name in ("attune_child", "__main__"):
        sys.modules.pop(name, None)
    failure = None
    try:
        result = _run(path, code, parameters, secrets)
        if result is not None:
            _say_result(control, result)
    except Exception as error:  # noqa: BLE001 - it is the action's, and is told below
        failure = error
    if failure is not None:
        _say_error(control, type(failure).__name__, _text_of(failure))
        failure.__traceback__ = _without_our_frames(failure.__traceback__)
        sys.excepthook(type(failure), failure, failure.__traceback__)
        sys.exit(1)


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
    # The interpreter's own objects: the collection at its end need not go through them (1.5 ms of 15). The action's
    # modules come after it, for what they hold is finalized then: files are flushed.
    gc.freeze()
    main_module = type(sys)("__main__")
    sys.modules["__main__"] = main_module
    module = _action_module(path) if has_run else main_module
    space = module.__dict__
    space["__builtins__"] = builtins
    if path:
        space["__file__"] = path
    space["_attune_secrets"] = secrets
    space["get_secret"] = builtins.get_secret
    exec(compiled, space)
    if not has_run or "run" not in space:
        return None
    result = space["run"](parameters)
    if hasattr(result, "__await__"):
        import asyncio

        result = asyncio.run(_awaited(result))
    return result


async def _awaited(awaitable):
    return await awaitable


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


def _install_get_secret(secrets):
    def get_secret(name, default=None):
        """Give the value of a secret that the action declares; `default` where there is none of this name."""
        return secrets.get(name, default)

    builtins.get_secret = get_secret


def _moved_away(descriptor):
    """Move the control channel to 200 or above, close-on-exec: scripts and their children like to use 3 and 10."""
    number = 200
    while _is_open(number):  # not by fcntl: to load it takes longer
        number += 1
    os.dup2(descriptor, number, inheritable=False)
    os.close(descriptor)
    status = os.fstat(number)
    return number, status.st_dev, status.st_ino


def _is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _default_signals():
    """Undo an inherited SIG_IGN: a worker's pool process ignores SIGINT, nohup SIGHUP, and exec hands that on."""
    import _signal

    for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM):
        if _signal.getsignal(number) == _signal.SIG_IGN:
            plain = _signal.default_int_handler if number == _signal.SIGINT else _signal.SIG_DFL
            _signal.signal(number, plain)


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


def _loads(data):
    text = data.decode("utf-8", "surrogatepass")
    try:
        import _json

        class Plain:
            strict = True
            object_hook = object_pairs_hook = None
            parse_float, parse_int = float, int
            parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}.get

        scan = _json.make_scanner(Plain)
    except (ImportError, AttributeError, TypeError):
        import json

        return json.loads(text)
    return scan(text, 0)[0]


def _dumps(value):
    try:
        import _json

        no = False  # sort_keys, skipkeys, allow_nan: the C function takes no names
        encode = _json.make_encoder({}, _refuse, _json.encode_basestring_ascii, None, ":", ",", no, no, no)
    except (ImportError, AttributeError, TypeError):
        import json

        return json.dumps(value, default=_refuse, allow_nan=False)
    return "".join(encode(value, 0))


def _refuse(value):
    msg = f"JSON can't hold a {type(value).__name__}"
    raise TypeError(msg)


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
    if text is not None and not _write(control, b'{"type":"result","value":' + text.encode() + b"}\n"):
        problem = "result_lost", "the action closed the descriptor by which run() returns its result"
    if problem is not None:
        _say_error(control, *problem)
        sys.stderr.write("attune_tasks: " + problem[1] + "\n")
        sys.exit(1)


def _say_error(control, kind, message):
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
