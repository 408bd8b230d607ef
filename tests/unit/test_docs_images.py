"""The images of the documentation: each is shown by a page, and made by a test."""

from __future__ import annotations

import re

from tests.docs_blocks import PAGES, ROOT


def test_every_image_is_shown_and_made_by_a_test() -> None:
    there = {path.stem for path in (ROOT / "docs" / "images").glob("*.png")}
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "browser").glob("test_*.py"))
    assert there
    assert set(re.findall(r"\(images/([a-z-]+)\.png\)", pages)) == there
    assert [name for name in sorted(there) if f'"{name}"' not in tests] == []
