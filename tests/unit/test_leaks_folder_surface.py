"""Surfaces made of folders: looks while executions run, the look at the end, and what is said of what was not seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from attune_tasks.leaks import Row, ValueSeeker, Watched
from attune_tasks.leaks.folder_surface import FolderSurface, Pace, Shared

VALUES = {7: "canary-of-the-first-9b1c", 8: "canary-of-the-second-44d2"}
BOTH = [Watched(7, "t7", "python"), Watched(8, "t8", "shell")]

Make = Callable[..., FolderSurface]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a surface that has begun, of a folder of the test's."""
    (tmp_path / "place").mkdir()
    seeker = ValueSeeker()
    for execution_id, value in VALUES.items():
        seeker.add(execution_id, {"canary": value})

    def made(*roots: Path, pace: Pace | None = None, sources: list[Path] | None = None) -> FolderSurface:
        surface = FolderSurface(
            "place", seeker, Shared(seeker, sources or []), roots or [tmp_path / "place"], pace=pace
        )
        surface.begin()
        return surface

    return made


def rows(surface: FolderSurface) -> dict[str, Row]:
    """End; give the rows by runtime."""
    found = {row.runtime: row for row in surface.end(BOTH)}
    assert not any(value in repr(found) for value in VALUES.values())
    return found


def test_a_file_is_the_leak_of_the_execution_whose_value_it_holds(make: Make, tmp_path: Path) -> None:
    surface = make()
    (tmp_path / "place" / "file").write_text(VALUES[8])
    found = rows(surface)
    assert (found["python"].verdict, found["shell"].verdict) == ("clean", "LEAK")
    assert [hit.where for hit in found["shell"].hits] == [f"{tmp_path}/place/file"]


def test_what_is_gone_at_the_end_was_seen_by_a_look(make: Make, tmp_path: Path) -> None:
    surface = make()
    folder = tmp_path / "place" / "attune-1" / "within"
    folder.mkdir(parents=True)
    (folder / "file").write_text(VALUES[7])
    surface.look(BOTH)
    (folder / "file").unlink()
    folder.rmdir()
    folder.parent.rmdir()
    assert rows(surface)["python"].verdict == "LEAK"
    unseen = make()
    (tmp_path / "place" / "file").write_text(VALUES[7])
    (tmp_path / "place" / "file").unlink()
    assert rows(unseen)["python"].verdict == "clean", "nobody has looked meanwhile"


def test_a_surface_that_is_for_the_end_does_not_look_before(make: Make, tmp_path: Path) -> None:
    surface = make(pace=Pace(look_seconds=0))
    (tmp_path / "place" / "file").write_text(VALUES[7])
    surface.look(BOTH)
    (tmp_path / "place" / "file").unlink()
    assert rows(surface)["python"].verdict == "clean"


def test_what_is_not_there_is_not_looked_at(make: Make, tmp_path: Path) -> None:
    row = rows(make(tmp_path / "absent"))["python"]
    assert (row.verdict, row.why) == ("not looked at", f"{tmp_path}/absent: no such folder")


def test_what_there_was_no_time_for_is_not_said_to_be_absent(make: Make, tmp_path: Path) -> None:
    row = rows(make(tmp_path / "place", pace=Pace(look_seconds=0, end_seconds=0)))["python"]
    assert row.verdict == "not looked at"
    assert f"{tmp_path}/place: there was no time for it" in row.why


def test_what_was_left_when_the_time_was_over_is_said(make: Make, tmp_path: Path) -> None:
    row = rows(make(tmp_path / "place", Path("/usr"), pace=Pace(end_seconds=0.001)))["python"]
    assert "folders were left when the 0.001 s for them were over" in row.why


def test_a_source_of_secrets_is_no_leak_and_a_copy_of_it_is(make: Make, tmp_path: Path) -> None:
    surface = make(sources=[tmp_path / "place" / "secrets.toml"])
    for name in ("secrets.toml", "copy"):
        (tmp_path / "place" / name).write_text(VALUES[7])
    found = rows(surface)["python"]
    assert [hit.where for hit in found.hits] == [f"{tmp_path}/place/copy"]
    assert "that is where the secrets come from" in found.why
