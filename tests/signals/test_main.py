from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tamis.signals import GROUPS
from tamis.signals.__main__ import reference, updated

PAGE = Path(__file__).parents[2] / "docs" / "signals.md"


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert updated(page) == page, "run `python -m tamis.signals docs/signals.md`"


def test_every_column_is_documented() -> None:
    text = reference()
    for group in GROUPS.values():
        names = [column.name for column in group.columns]
        assert len(set(names)) == len(names)
        for column in group.columns:
            assert f"`{group.name}.{column.name}`" in text
            assert column.description
            assert column.source, (group.name, column.name)


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="needs one line"):
        updated("# Signals\n")


def test_the_registry_loads_no_model_and_no_list() -> None:
    code = "import sys, tamis.signals; print(sorted({'fasttext', 'tldextract', 'idna', 'ftfy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
