"""The launcher: starts the children of one pack for one slot, one at a time, and takes down all that is below it.

The worker starts it by its path, with an empty environment, and talks to it over a socket. It holds no secret: the
ends of a child's pipes come over that socket, and what goes through them it never reads. It has one thread, and loads
nothing but a few modules of the stdlib, so that it is small and a fork of it is quick.

From the worker come messages: four bytes of length, then a dictionary by marshal, with descriptors beside it. Back go
lines of text: the worker does not trust this process, which runs as the action's user.
"""

import gc
import marshal
import os
import select
import sys
import time

import _signal
import _socket

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, _HERE)
import attune_children
import attune_folder
import attune_setup
import attune_tree

del sys.path[0]

_FATAL = ("HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "VTALRM", "PROF", "XCPU", "IO", "SYS")
_SIGNALS = [getattr(_signal, "SIG" + name) for name in _FATAL if hasattr(_signal, "SIG" + name)]
_READ = 1 << 14
_CLOEXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)


class Launcher(attune_children.Children):
    """One launcher's state."""

    def __init__(self, descriptor, undumpable):
        super().__init__()
        self.undumpable = undumpable
        self.socket = _socket.socket(fileno=descriptor)
        self.buffer = b""
        self.received = []
        self.guardians = []
        self.folders = self.names = None
        self.count = 0  # executions that are over
        self.folder = None
        self.ahead = None  # what is to be started ahead, with its ends, once the present execution is over
        self.idle_seconds = None
        self.wake, wake_writer = os.pipe()
        for end in (self.wake, wake_writer):
            os.set_blocking(end, False)
        self.wake_writer = wake_writer
        self.ours = [descriptor, self.wake, wake_writer]
        self.poll = select.poll()
        for end in (descriptor, self.wake):
            self.poll.register(end, select.POLLIN)

    def prepare(self, hello):
        """Take what the worker says once: who to die with, where to make folders, what to load."""
        for guardian in self.received:
            self.poll.register(guardian, select.POLLIN)
        self.guardians = self.received
        self.ours += self.guardians
        self.received = []
        self.folders, self.names = hello["folders"], hello["names"]
        self.idle_seconds = hello["idle_seconds"]
        trouble = attune_setup.preload(hello["entry"], hello["preload"], hello["library"])
        if hello["entry"]:
            sys.modules[hello["module"]].prepare(hello["locale"])
        # After the preload, which may have set its own. Only then is `ready` said, and is a child given anything.
        if self.undumpable:
            attune_setup.close_to_others()
        os.umask(0o077)
        attune_setup.reset_signals()
        _signal.set_wakeup_fd(self.wake_writer, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, _do_nothing)
        for number in _SIGNALS:
            plain = _signal.default_int_handler if number == _signal.SIGINT else _signal.SIG_DFL
            _signal.signal(number, plain)
        # Held back, not ignored: a fork has nothing to set, and no signal that is meant for it gets lost before that.
        _signal.pthread_sigmask(_signal.SIG_SETMASK, _SIGNALS)
        self.threads_possible = bool(hello["preload"])
        gc.collect()
        gc.freeze()  # children need not go through what was there before them, and share its memory
        self.say("ready", trouble or "-")

    def serve(self):
        """Start one child after the other, and watch it; come back only in a forked child, with its message."""
        while True:
            message = self.next_message()
            if message["do"] == "go":
                if not self.waiting:
                    self.say("absent", "-")
                    continue
                self.waiting = False
            elif self.start(message, self.ends_of(message)):
                return message
            if self.child is not None:
                self.watch()
            self.remove_folder()
            self.count += 1
            self.make_ready()

    def next_message(self):
        """Wait for the next thing to do while nothing runs. A late `kill` finds nothing any more."""
        while True:
            message = self.taken()
            if message is None:
                if not self.turn(self.idle_seconds) and self.discard():
                    self.remove_folder()  # an idle worker has nothing in the temporary folder
                    self.turn()
            elif message["do"] == "standby":  # the execution has ended before we read it
                self.ahead = message, self.ends_of(message)
                self.make_ready()
            elif message["do"] in {"hello", "go"}:
                return message
            elif message["do"] == "run":
                if self.waiting:
                    self.end_waiting()
                    self.remove_folder()
                return message

    def make_ready(self):
        """Make the next execution's private folder, and start there what is to be started ahead."""
        ahead, self.ahead = self.ahead, None
        try:
            self.make_folder()
            if ahead is not None:
                self.spawn(*ahead, self.folder)
                self.waiting = True
        except OSError:
            pass  # tried again when it is needed, and told then
        finally:
            if ahead is not None:
                self.clean_up(ahead[1])

    def forget_ahead(self):
        """Start nothing ahead after this execution; the worker notices by the closed ends."""
        if self.ahead is not None:
            self.clean_up(self.ahead[1])
            self.ahead = None

    def discard(self):
        """End what was started ahead and nobody needed; give False where it is needed after all.

        The worker says `go` before it gives the waiting program anything to do. So one that is stopped, and of which
        the worker has said nothing by then, has not begun, and can be ended.
        """
        if not self.waiting:
            return True
        if self.status is None:
            os.kill(self.child, _signal.SIGSTOP)
            self.turn(0)
            if self.buffer:
                os.kill(self.child, _signal.SIGCONT)
                return False
        self.end_waiting()
        return True

    def ends_of(self, message):
        """Take the descriptors that came with a message, by name."""
        ends = dict(zip(message["ends"], self.received))  # noqa: B905 - Python 3.9 knows no strict=
        del self.received[: len(ends)]
        return ends

    def clean_up(self, ends):
        """Close what is the child's, and leave its folder."""
        os.chdir("/")
        for end in ends.values():
            os.close(end)

    def start(self, message, ends):
        """Start a child; give True in it where it was forked."""
        self.status = None
        try:
            self.make_folder()
            if message["argv"] is None or message["limits"]:
                # A program is executed at once: it has no use for the locks of threads that a fork leaves behind.
                problem = message["argv"] is None and self.threads_possible and attune_setup.thread_problem()
                if problem:
                    self.say("failed", "0", problem)
                    return False
                os.chdir(message["folder"] or self.folder)
                self.child = os.fork()
                if not self.child:
                    self.become(message, ends)
                    return True
            else:
                self.spawn(message, ends, message["folder"] or self.folder)
        except OSError as error:
            self.child = None
            self.say("failed", str(error.errno), "-")
        finally:
            if self.child != 0:
                self.clean_up(ends)
        return False

    def become(self, message, ends):
        """Turn this fork into the child that the message asks for; where that is a program, execute it."""
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        self.socket.detach()
        try:
            os.setsid()
            for end, number in attune_children.placed(message, ends):
                os.dup2(end, number, inheritable=number < 3 or message["argv"] is not None)  # noqa: PLR2004 - stdin, …
            for end in (*self.ours, *ends.values(), 3):
                if end not in message["numbers"].values():
                    os.close(end)
            os.umask(0o077)
            if message["limits"]:
                attune_setup.bound(message["limits"])
            if message["argv"] is not None:
                for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # which Python ignores
                    _signal.signal(number, _signal.SIG_DFL)
            _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
            if message["argv"] is not None:
                program, arguments = message["argv"][0], message["argv"]
                os.execve(program, arguments, message["env"])  # noqa: S606 - a program is what was asked for
        except OSError as error:
            os.write(2, b"attune_tasks: the action could not be started: %s\n" % os.strerror(error.errno).encode())
            os._exit(126)

    def watch(self):
        """Watch the child and all that it leaves below us, until nothing is there."""
        self.group = self.child  # it leads one
        until = None
        while True:
            empty = self.reap()
            if self.status is not None and self.child is not None:
                self.child = None
                self.say("exited", str(self.status), "-" if empty else "left")
                if empty:
                    return
            elif empty:
                self.say("gone", "-")
                return
            message = self.taken()  # several may have come at once
            if message is None:
                if self.lapses(until):
                    return
            elif message["do"] in {"terminate", "kill"}:
                self.forget_ahead()  # only what ended by itself, and left nothing, has a next one at once
                if message["do"] == "kill":
                    self.kill()
                    return
                self.terminate()
            elif message["do"] == "standby":
                self.ahead = message, self.ends_of(message)
            else:
                until = message.get("until", until)

    def lapses(self, until):
        """Wait for the next thing to do; give whether the lease was over before, so that all was killed."""
        left = None if until is None else max(0.0, until - time.monotonic())
        if left != 0.0:
            self.turn(left)
            return False
        self.forget_ahead()  # the worker was stopped, or has lost its claim: another one may run the action now
        self.say("lapsed", "-")
        self.kill()
        return True

    def kill(self):
        """Kill all that is below us, and say how it ended."""
        left = self.kill_all()
        if self.child is not None and self.status is not None:
            self.say("exited", str(self.status), "left")
        self.child = None
        self.say("gone", ",".join("%d:%d" % (pid, attune_tree.owner_of(pid)) for pid in left) or "-")

    def turn(self, seconds=None):
        """Wait until there is something to do, and do it; give whether there was. With the worker's end, all ends."""
        ready = self.poll.poll(None if seconds is None else seconds * 1000)
        for end, _ in ready:
            if end == self.wake:
                _drain(end)
                if self.child is None or self.waiting:
                    self.reap()
            elif end == self.socket.fileno():
                self.receive()
            else:
                self.end()
        return bool(ready)

    def receive(self):
        """Read from the socket what is there."""
        try:
            data, beside, _, _ = self.socket.recvmsg(_READ, _socket.CMSG_SPACE(8 * 4), _CLOEXEC)
        except OSError:
            data, beside = b"", ()
        for level, kind, content in beside:
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                numbers = [content[at : at + 4] for at in range(0, len(content) - 3, 4)]
                self.received += [int.from_bytes(number, sys.byteorder) for number in numbers]
        if not data:
            self.end()
        self.buffer += data

    def taken(self):
        """Give the next whole message; None where there is none."""
        size = int.from_bytes(self.buffer[:4], "big") + 4
        if len(self.buffer) < max(4, size):
            return None
        message, self.buffer = marshal.loads(self.buffer[4:size]), self.buffer[size:]  # noqa: S302 - the worker is trusted
        return message

    def say(self, *words):
        """Write a line to the worker; where it is gone, all ends."""
        try:
            self.socket.sendall(" ".join(words).encode() + b"\n")
        except OSError:
            self.end()

    def make_folder(self):
        """Make the private folder, unless it is there. The worker knows its name and counts as we do; others do not."""
        if self.folder is None:
            at = self.count % (len(self.names) // 16) * 16
            path = self.folders + self.names[at : at + 16]
            attune_folder.make_folder(path)
            self.folder = path

    def remove_folder(self):
        """Remove the private folder and what is in it."""
        if self.folder is not None:
            attune_folder.remove_folder(self.folder)
            self.folder = None

    def end(self):
        """Take all down and end."""
        self.kill_all()
        self.remove_folder()
        os._exit(0)


def _do_nothing(number, frame):
    """Handle a signal, which has woken the poll up by then."""


def _drain(end):
    try:  # noqa: SIM105 - contextlib is not loaded here
        os.read(end, 512)  # one byte for each signal: what is left of more wakes the poll up once more
    except BlockingIOError:
        pass


def _main():
    """Run the launcher; in a forked child give the message which it is to act upon."""
    descriptor = int(sys.argv[1])
    undumpable = "undumpable" in sys.argv[3:] and sys.platform == "linux"
    attune_setup.confine(undumpable)
    high = 16  # 0 to 3 stay taken, so that what is received never stands where a child wants its own
    if descriptor != high:
        os.dup2(descriptor, high)
        os.close(descriptor)
    os.set_inheritable(high, False)  # noqa: FBT003 - it takes no name
    os.closerange(3, high)
    os.open(os.devnull, os.O_RDWR)
    os.chdir("/")
    launcher = Launcher(high, undumpable)
    launcher.prepare(launcher.next_message())
    return launcher.serve()


_told = _main()
# From here on, this is a child. At the top of the stack, so that no frame of the launcher is below the action's.
sys.modules[_told["module"]].forked(_told["env"], _told["dumpable"])
