"""All actions that are known here, by ref."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import MappingProxyType

from attune_tasks.errors import PackError, UnknownActionError
from attune_tasks.nearest import nearest_names
from attune_tasks.packs.actions import Action, Pack
from attune_tasks.packs.loader import PACK_FILE, LoadedPack, load_pack

__all__ = ["PackRegistry"]


class PackRegistry:
    """The actions of all packs; it does not change after it was loaded."""

    __slots__ = ("_actions", "_packs")

    def __init__(self, packs: Iterable[Pack] = (), actions: Iterable[Action] = ()) -> None:
        """Hold `packs` and `actions`, whose refs must be unique: :meth:`load` sees to it."""
        by_ref = {action.ref: action for action in actions}
        self._actions = MappingProxyType(dict(sorted(by_ref.items())))
        self._packs = tuple(sorted(packs, key=lambda pack: pack.ref))

    @classmethod
    def load(cls, folders: Iterable[Path], *, runtimes: Collection[str], missing_ok: bool = False) -> PackRegistry:
        """Read all packs: a folder is one where it has a ``pack.yaml``, else its child folders that have one are.

        `runtimes` are the names that actions may run with; `missing_ok` passes over folders that do not exist. Raises
        PackError with the faults of all packs at once.
        """
        problems: list[str] = []
        found: dict[Path, None] = {}
        for folder in folders:
            try:
                found |= dict.fromkeys(_pack_folders(Path(folder).absolute(), problems, missing_ok=missing_ok))
            except OSError as error:
                problems.append(f"{folder}: can't be read: {error.strerror}")
        loaded = [load_pack(folder, runtimes) for folder in found]
        problems += (problem for each in loaded for problem in each.problems)
        problems += _duplicates(loaded)
        if problems:
            raise PackError(problems=problems)
        return cls((each.pack for each in loaded if each.pack), (action for each in loaded for action in each.actions))

    @property
    def actions(self) -> tuple[Action, ...]:
        """All actions, by ref."""
        return tuple(self._actions.values())

    @property
    def packs(self) -> tuple[Pack, ...]:
        """All packs, by ref."""
        return self._packs

    def get(self, ref: str) -> Action:
        """Give one action; raises UnknownActionError, which names the nearest ones."""
        action = self._actions.get(ref)
        if action is not None:
            return action
        near = [known for known in self._actions if known.partition(".")[2] == ref]
        near += [known for known in nearest_names(ref, self._actions) if known not in near]
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        msg = f"there is no action {ref[:100]!r}.{hint} `attune-tasks packs list` shows the {len(self)} that there are."
        raise UnknownActionError(msg)

    def __contains__(self, ref: object) -> bool:
        """Tell whether there is an action of this ref."""
        return ref in self._actions

    def __len__(self) -> int:
        """Count the actions."""
        return len(self._actions)

    def __repr__(self) -> str:
        """Show how much there is."""
        return f"PackRegistry({len(self._packs)} packs, {len(self)} actions)"


def _pack_folders(folder: Path, problems: list[str], *, missing_ok: bool) -> list[Path]:
    if (folder / PACK_FILE).is_file():
        return [folder]
    if folder.is_dir():
        return sorted(child for child in folder.iterdir() if (child / PACK_FILE).is_file())
    if folder.exists():
        problems.append(f"{folder}: is not a folder")
    elif not missing_ok:
        problems.append(f"{folder}: there is no such folder; the setting `packs` names the folders of packs")
    return []


def _duplicates(loaded: Iterable[LoadedPack]) -> Iterator[str]:
    pack_sources: dict[str, Path] = {}
    for each in loaded:
        if each.pack is not None:
            first = pack_sources.setdefault(each.pack.ref, each.source)
            if first != each.source:
                yield f"{each.source}: ref: {first} has the ref {each.pack.ref}, too"
                continue  # its actions would all be duplicates
        sources: dict[str, Path] = {}
        for action in each.actions:
            first = sources.setdefault(action.ref, action.source)
            if first != action.source:
                yield f"{action.source}: ref: {first} has the ref {action.ref}, too"
