"""Removes a private folder, whatever an action has left in it. It runs in the launcher and in the worker."""

import os


def remove_folder(path):
    """Remove a folder and all that is in it; give whether it is gone."""
    try:
        os.rmdir(path)  # nearly always empty, and this is a fifth of the cost
    except OSError:
        try:  # noqa: SIM105 - contextlib is not loaded here
            _remove_tree(path)
        except OSError:
            pass
    return not os.path.lexists(path)


def _remove_tree(path):
    """Remove a folder, with folders in it that lack write permission, as Go's module cache has them."""
    os.chmod(path, 0o700)
    for parent, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(parent, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
    for _, names, files, descriptor in os.fwalk(path, topdown=False):
        for name in files:
            os.unlink(name, dir_fd=descriptor)
        for name in names:
            try:
                os.rmdir(name, dir_fd=descriptor)
            except NotADirectoryError:
                os.unlink(name, dir_fd=descriptor)  # a link to a folder
    os.rmdir(path)
