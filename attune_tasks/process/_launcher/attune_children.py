"""What runs below the launcher: one child, and all that it starts. Here it is spawned, reaped and killed."""

import os

import _signal
import attune_tree

_STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}
_SEES_PROCESSES = os.path.exists("/proc/self/stat")  # not on macOS
_KILL_SECONDS = 10.0


class Children:
    """The child, and what is below us besides."""

    def __init__(self):
        self.child = self.status = self.group = None
        self.waiting = False  # the child was started ahead, and its execution has not begun

    def spawn(self, message, ends, folder):
        """Start a program by vfork and exec, in `folder`. It leads a session and a group."""
        os.chdir(folder)  # posix_spawn has no such thing
        self.status = None
        self.child = os.posix_spawn(
            message["argv"][0],
            message["argv"],
            message["env"],
            file_actions=[(os.POSIX_SPAWN_DUP2, end, number) for end, number in placed(message, ends)],
            setsid=True,
            setsigmask=[],
            setsigdef=[_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGCHLD, _signal.SIGINT],
        )

    def end_waiting(self):
        """End what was started ahead, of which nobody needs to hear."""
        self.waiting = False
        if self.status is None:
            os.kill(self.child, _signal.SIGKILL)
            os.waitpid(self.child, 0)
        if not self.reap():
            self.kill_all()  # it has started nothing, but others of its user can do what they like to it
        self.child = None

    def terminate(self):
        """Ask all that is below us to end."""
        if _SEES_PROCESSES:
            attune_tree.terminate(attune_tree.children_of(os.getpid()))
        else:
            self.signal_group(_signal.SIGTERM)
            self.signal_group(_signal.SIGCONT)

    def kill_all(self):
        """Kill all that is below us; give the pids that can't be."""
        if not _SEES_PROCESSES:
            self.signal_group(_signal.SIGKILL)
        return attune_tree.kill(self.direct_children, self.reap, _KILL_SECONDS)

    def direct_children(self):
        """Give the pids right below us; where there is no /proc, the child's alone."""
        if _SEES_PROCESSES:
            return attune_tree.children_of(os.getpid())
        return [self.child] if self.child is not None and self.status is None else []

    def signal_group(self, number):
        """Signal the child's process group, where nothing tells what else is below us."""
        if self.group is not None:
            try:  # noqa: SIM105 - contextlib is not loaded here
                os.killpg(self.group, number)
            except OSError:
                pass  # nobody is left in it

    def reap(self):
        """Take the exit codes of what has ended; give whether nothing is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if not pid:
                return False
            if pid == self.child:
                self.status = status


def placed(message, ends):
    """Give each end that came with a message, and its number in the child."""
    return [(end, _STREAMS.get(name, message["numbers"].get(name))) for name, end in ends.items()]
