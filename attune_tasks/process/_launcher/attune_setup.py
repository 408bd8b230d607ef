"""What a launcher makes of itself at its start, and of a fork that is bounded."""

import os
import sys

import _signal


def bound(limits):
    """Set bounds for this process, none above what it has."""
    import resource

    for name, bound in limits.items():
        number = getattr(resource, "RLIMIT_" + name)
        hard = resource.getrlimit(number)[1]
        last = bound + 1 if name == "CPU" else bound  # SIGXCPU says why, SIGKILL a second later does not
        if hard != resource.RLIM_INFINITY:
            last = min(last, hard)
        resource.setrlimit(number, (min(bound, last), last))


def preload(entry, names, library):
    """Load what children are to find loaded; give in one word why they can't be forked, None: they can."""
    if entry is None:
        return None
    folder, name = os.path.split(entry)
    sys.path.insert(0, folder)
    try:
        __import__(name[: -len(".py")])
    finally:
        del sys.path[0]
    if library:
        sys.path.insert(0, library)
    try:
        for name in names:
            __import__(name)
    except BaseException as error:  # noqa: BLE001 - whatever a preload does, the pack's actions can still run
        return "preload:%s:%s" % (name, type(error).__name__)
    finally:
        if library and library in sys.path:
            sys.path.remove(library)
    return thread_problem()


def thread_problem():
    """Say ``threads`` where there are others: a fork would have their locks, and not them."""
    try:
        return "threads" if len(os.listdir("/proc/self/task")) > 1 else None
    except OSError:
        return None


def reset_signals():
    """Take no signal's treatment over from the worker, its thread, or a preload."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    for number in _signal.valid_signals():
        if _signal.getsignal(number) not in (_signal.SIG_DFL, None):
            _signal.signal(number, _signal.SIG_DFL)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python tells these as errors
        _signal.signal(number, _signal.SIG_IGN)


def confine(undumpable):
    """Be the one to whom orphans below fall, show nothing to others of the same user, and leave no core file."""
    os.umask(0o077)
    try:
        import resource

        # Where kernel.core_pattern names a program, Linux gives it the whole core whatever the limit, 0 too, but for a
        # limit of 1, which it takes for that program's own and refuses. A file of one byte is none: it has no header.
        least = 1 if sys.platform == "linux" else 0
        resource.setrlimit(resource.RLIMIT_CORE, (least, least))
    except (ImportError, OSError, ValueError):  # the last: it is 0 already, and may not be more
        pass
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):  # not Linux
        return
    prctl(15, b"attune-launcher", 0, 0, 0)  # PR_SET_NAME; the numbers are in linux/prctl.h
    prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    if undumpable:
        close_to_others()


def close_to_others():
    """Show nothing to other processes of the same user, nor to those that are forked from now on."""
    import ctypes

    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
