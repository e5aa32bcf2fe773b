"""Unicode repair equals ftfy on the whole text; invisible characters go, meaningful ones stay."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import ftfy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis import kernels
from tamis.clean import unicode as subject
from tamis.clean.edits import apply_edits

MESSY = st.text(
    alphabet=st.one_of(
        st.sampled_from("abc é ñ Ã©â€™Â\xa0ï»¿\u2028\u2029\x85\x0c\x1b[3m\x00\x9d\r\n\n ﬁＡ“”&amp;\u0301\u200b\ufeff"),
        st.characters(codec="utf-8"),
    ),
    max_size=40,
)
BROKEN = st.sampled_from(["café", "naïve “quoted” – text…", "Это текст", "漢字かな", "مرحبا"]).flatmap(
    lambda t: st.sampled_from(["latin-1", "cp1252", "cp1251", "mac_roman"]).map(
        lambda e: t.encode().decode(e, "replace")
    )
)


def array(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def clean(text: str) -> str:
    data = array([text])
    made: str = apply_edits(data, subject.unicode_edits(data))[0].as_py()
    return made


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(MESSY, BROKEN, st.tuples(MESSY, BROKEN, MESSY).map("\n".join)), max_size=4))
def test_repair_equals_ftfy_on_the_whole_text(texts: list[str]) -> None:
    text = array(texts)
    expected = [ftfy.fix_text(t, subject.ftfy_config()) for t in texts]
    assert apply_edits(text, subject.repair_edits(text)).to_pylist() == expected


MARKS = "\u0301\u0323\u0316\u0344\u05b0\u0f71\u0f73\u3099"


@settings(deadline=None, max_examples=60)
@given(st.one_of(MESSY, BROKEN), st.text(MARKS, min_size=200, max_size=400), st.sampled_from(["", "e", "é", "が"]))
def test_long_lines_equal_ftfy_too(text: str, marks: str, before: str) -> None:
    long = before + marks + text + "x" * subject._LONG + marks
    assert clean_of(long) == ftfy.fix_text(long, subject.ftfy_config())
    assert subject.nfc(long) == unicodedata.normalize("NFC", long)


def clean_of(text: str) -> str:
    data = array([text])
    made: str = apply_edits(data, subject.repair_edits(data))[0].as_py()
    return made


@pytest.mark.parametrize("unit", ["\u0301\u0323", "\u0323\x01\u0301", "\u0f73"])
@pytest.mark.timeout(120)
def test_many_marks_on_one_letter_take_time_in_proportion(unit: str) -> None:
    # In the square of their number these would take four minutes.
    cleaned = clean("a" + unit * (300_000 // len(unit)) + " b")
    assert cleaned.endswith(" b")
    assert subject.nfc(cleaned) == cleaned


@settings(deadline=None, max_examples=300)
@given(MESSY)
def test_clean_text_is_nfc_and_only_marks_are_removed(text: str) -> None:
    cleaned = clean(text)
    assert unicodedata.is_normalized("NFC", cleaned)
    fixed = ftfy.fix_text(text, subject.ftfy_config())
    visible = [c for c in fixed if not subject._MARKS.match(c)]
    assert [c for c in cleaned.replace("\n", "") if not subject._MARKS.match(c)] == [c for c in visible if c != "\n"]


def test_every_removed_code_point_is_flagged_by_the_screen() -> None:
    marks = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and subject._MARKS.match(chr(c))]
    flags = kernels.screen(array(marks))
    assert [hex(ord(m)) for m, f in zip(marks, flags, strict=True) if not f & kernels.CONTROLS] == []
    between = array([f"a{m}b" for m in marks])
    kept = [hex(ord(m)) for m, edits in zip(marks, subject.mark_edits(between).to_pylist(), strict=True) if not edits]
    assert kept == []


@pytest.mark.parametrize(
    "kept",
    [
        "می‌خواهم",  # Persian: a non-joiner inside the word
        "क्‍ष र्‍य",  # Hindi: joiners shape conjuncts
        "👩‍💻 🏳️‍🌈 👨‍👩‍👧",  # emoji sequences
        "🏴󠁧󠁢󠁳󠁣󠁴󠁿",  # the flag of Scotland is spelt with tag characters
        "ภาษา​ไทย",  # Thai: a zero-width space marks the word boundary
        "ﬁne “quotes” ＦＵＬＬ &amp; …",
        "tab\there",
    ],
)
def test_meaningful_characters_stay(kept: str) -> None:
    assert clean(kept) == kept


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("\ufeffzero\u200bwidth", "zerowidth", "unicode.zero_width"),
        ("Donau\u00addampf", "Donaudampf", "unicode.zero_width"),
        ("a\u200eb\u202ec\u2069", "abc", "unicode.bidi"),
        ("one\x0ctwo", "one\ntwo", "unicode.control"),
        ("one\n\x0ctwo", "one\ntwo", "unicode.control"),
        ("bell\x07", "bell", "unicode.control"),
        ("hid\U000e0041\U000e0042den", "hidden", "unicode.control"),
        ("cafe\u0301", "café", "unicode.nfc"),
        ("one\u2028two", "one\ntwo", "unicode.newline"),
        ("schÃ¶n und gut", "schön und gut", "unicode.mojibake"),
        ("in\u200clatin", "inlatin", "unicode.zero_width"),
    ],
)
def test_rules(before: str, after: str, rule: str) -> None:
    text = array([before])
    edits = subject.unicode_edits(text)
    assert apply_edits(text, edits)[0].as_py() == after
    assert rule in {edit["rule"] for edit in edits[0].as_py()}


def test_edits_are_small() -> None:
    text = array(["words before schÃ¶n words after dÃ©jÃ  vu"])
    spans = [(e["start"], e["end"]) for e in subject.unicode_edits(text)[0].as_py()]
    assert all(end - start < 12 for start, end in spans)


@pytest.mark.parametrize("name", ["multilingual", "english"])
def test_real_texts_equal_ftfy(data_dir: Path, name: str) -> None:
    table = pq.read_table(data_dir / "text" / f"{name}.parquet", columns=["text"]).slice(0, 250)
    texts = [t[:4000] for t in table["text"].to_pylist()]
    text = array(texts)
    expected = [ftfy.fix_text(t, subject.ftfy_config()) for t in texts]
    assert apply_edits(text, subject.repair_edits(text)).to_pylist() == expected
