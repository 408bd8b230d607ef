"""Makes and removes private folders, whatever an action has left in one. It runs in the launcher and in the worker.

The worker may be root where the action is not. So nothing here follows a link, each step is taken from a descriptor of
the folder that it is in, and permissions are only changed where they stand in the way, which for root they never do.
"""

import os

_ENTRY = 0o300  # writing to a folder, and searching it
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def make_folder(path):
    """Make a folder for its user alone. What is in its place goes."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:  # an action has taken the name of the next one's folder
        remove_folder(path)
        os.mkdir(path, 0o700)


def remove_folder(path):
    """Remove a folder and all that is in it; give whether it is gone."""
    try:
        os.rmdir(path)  # nearly always empty, and this is a fifth of the cost
    except OSError:
        try:  # noqa: SIM105 - contextlib is not loaded here
            _remove(path)
        except OSError:
            pass
    return not os.path.lexists(path)


def _remove(path):
    try:
        top = os.open(path, _FOLDER)
    except PermissionError:
        _permit(path, None)
        top = os.open(path, _FOLDER)
    except NotADirectoryError:  # a link, or a file
        os.unlink(path)
        return
    try:
        count = 0
        while names := os.listdir(top):
            before = count
            for name in names:
                count += _empty(name, top, "%d-%d" % (os.getpid(), count))
            if count == before:
                break  # nothing of it can be removed
    finally:
        os.close(top)
    os.rmdir(path)


def _empty(name, top, prefix):
    """Remove what is called `name` in `top`, or move the folders in it up to there; give whether that went on.

    So a tree of any depth is removed with two descriptors: neither its paths nor a recursion would reach the bottom.
    """
    try:
        if _unlinked(name, top):
            return True
        try:
            folder = os.open(name, _FOLDER, dir_fd=top)
        except PermissionError:
            _permit(name, top)
            folder = os.open(name, _FOLDER, dir_fd=top)
    except OSError:
        return False
    try:
        if os.fstat(folder).st_mode & _ENTRY != _ENTRY and os.geteuid():
            os.fchmod(folder, 0o700)  # Go's module cache has such
        moved = False
        for number, inner in enumerate(os.listdir(folder)):
            if not _unlinked(inner, folder):
                _move(inner, folder, top, ".%s-%d" % (prefix, number))
            moved = True
        os.rmdir(name, dir_fd=top)
    except OSError:
        return moved
    finally:
        os.close(folder)
    return True


def _unlinked(name, folder):
    """Remove a file, a link or an empty folder; give whether it was one."""
    try:
        os.unlink(name, dir_fd=folder)
    except (IsADirectoryError, PermissionError):  # the second is what macOS says of a folder
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError:
            return False
    return True


def _move(name, folder, top, new):
    try:
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
    except PermissionError:  # a folder that one can't write to can't be given another parent
        _permit(name, folder)
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)


def _permit(name, folder):
    if os.geteuid():
        os.chmod(name, 0o700, dir_fd=folder, follow_symlinks=False)
