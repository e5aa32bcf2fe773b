"""The committed tables are what their generator writes."""

from __future__ import annotations

import importlib.util
import unicodedata
from collections.abc import Callable
from pathlib import Path

import ftfy

from tamis.kernels import unicode_tables as tables

ROOT = Path(__file__).resolve().parents[2]


def test_generator_writes_the_same(require: Callable[[object, str], None]) -> None:
    here = (unicodedata.unidata_version, ftfy.__version__)
    made = (tables.UNICODE_VERSION, tables.FTFY_VERSION)
    require(here == made, f"Unicode and ftfy are {here} here, the tables were made with {made}")
    spec = importlib.util.spec_from_file_location("generator", ROOT / "scripts" / "unicode_tables.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    for name, content in generator.build().items():
        committed = (ROOT / "src" / "tamis" / "kernels" / name).read_text()
        assert committed == content, f"{name}: run scripts/unicode_tables.py"


def test_classes_by_example() -> None:
    flags = tables.flags()

    def has(c: str, flag: int) -> bool:
        return bool(flags[ord(c)] & flag)

    assert all(has(c, tables.PUNCT) for c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~—“”。，«»¿")
    assert not any(has(c, tables.PUNCT) for c in "aé1²©€√ \n\x00")
    assert all(has(c, tables.SCRIPT) for c in "中あカｶー々〇ภาລកမ𠀀")
    assert not any(has(c, tables.SCRIPT) for c in "aа한・。๑฿")
    assert all(has(c, tables.TERMINAL) for c in ".?!…。！？؟।۔")
    assert not any(has(c, tables.TERMINAL) for c in ",:;\"')”")
