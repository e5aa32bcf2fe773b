from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.signals import language
from tamis.signals.batch import Batch

SENTENCES = {
    "en": "The committee will meet on Tuesday to talk about the new library and its opening hours.",
    "de": "Der Ausschuss trifft sich am Dienstag, um über die neue Bibliothek zu sprechen.",
    "fr": "Le comité se réunira mardi pour parler de la nouvelle bibliothèque et de ses horaires.",
    "es": "El comité se reunirá el martes para hablar de la nueva biblioteca y de sus horarios.",
    "zh": "委员会将于星期二开会，讨论新图书馆的建设和开放时间。",
    "ja": "委員会は火曜日に集まり、新しい図書館と開館時間について話し合います。",
    "ko": "위원회는 화요일에 모여 새로운 도서관과 운영 시간에 대해 이야기할 것입니다.",
    "ar": "ستجتمع اللجنة يوم الثلاثاء للحديث عن المكتبة الجديدة وساعات العمل فيها.",
    "hi": "समिति मंगलवार को नए पुस्तकालय और उसके खुलने के समय के बारे में बात करेगी।",
    "ru": "Комитет соберётся во вторник, чтобы обсудить новую библиотеку и часы её работы.",
    "uk": "Комітет збереться у вівторок, щоб обговорити нову бібліотеку та години її роботи.",
    "bg": "Комитетът ще се събере във вторник, за да обсъди новата библиотека и работното време.",
    "sr": "Одбор ће се састати у уторак да разговара о новој библиотеци и радном времену.",
    "th": "คณะกรรมการจะประชุมในวันอังคารเพื่อหารือเกี่ยวกับห้องสมุดแห่งใหม่และเวลาเปิดทำการ",
}
SCRIPTS = {"zh": "Hani", "ja": "Jpan", "ko": "Hang", "ar": "Arab", "hi": "Deva", "th": "Thai"} | dict.fromkeys(
    ("ru", "uk", "bg", "sr"), "Cyrl"
)


def rows(batch, *texts: str | None) -> list[dict[str, object]]:
    columns = language.compute(batch(texts), {})
    return [{name: values[i].as_py() for name, values in columns.items()} for i in range(len(texts))]


def test_languages_scripts_and_spaces(batch) -> None:
    for code, row in zip(SENTENCES, rows(batch, *SENTENCES.values()), strict=True):
        assert row["code"] == code, row
        assert row["score"] > 0.4
        assert row["script"] == SCRIPTS.get(code, "Latn")
        assert row["spaced"] is (code not in ("zh", "ja", "th"))
        assert row["score_2"] is None or row["score"] >= row["score_2"]


def test_no_letters_is_undetermined_and_no_text_is_null(batch) -> None:
    digits, empty, missing = rows(batch, "12 + 34 = 46\n\n***", "", None)
    assert (digits["code"], digits["score"], digits["script"]) == ("und", 0.0, None)
    assert (empty["code"], empty["score"]) == ("und", 0.0)
    assert set(missing.values()) == {None}


def test_odd_input_does_not_raise(batch) -> None:
    out = rows(batch, "a", "\0\0\0", "a\0b " * 500, "\ufeff\u2028x", "🙂" * 400, "ｱ" * 1000, "x" * 10_000)
    assert all(row["code"] is not None and 0 <= row["score"] <= 1 for row in out)


def test_labels_are_iso_codes() -> None:
    assert language.RENAMED["als"] == "gsw"
    found = language.predict("Комитет соберётся во вторник")
    assert len(found) == 3
    assert found[0][1] >= found[1][1] >= found[2][1]


def test_the_sample_is_short_whole_characters_and_skips_noise() -> None:
    def sample(text: str) -> str:
        return language.sample(np.frombuffer(text.encode(), np.uint8))

    assert sample("short  text\n here") == "short text here"
    assert sample("see https://example.org/a?b=1 or mail me@x.org 42") == "see or mail"
    long = sample("漢字かな" * 10_000)
    assert len(long) <= 4 * 48 + 3
    assert set(long) <= set("漢字かな ")
    english = sample("menu " * 30 + "The committee will meet on Tuesday. " * 500)
    assert "menu" not in english
    assert "\n" not in english


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Ελλάδα", "Grek"),
        ("ᎠᏂᏴᏫᏯ", "Cher"),
        ("ԱԲԳ abc def", "Latn"),
        ("汉字 with latin", "Latn"),
        ("汉字汉字 abc", "Hani"),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert language.dominant_scripts(["", text, "1"]) == [None, script, None]


def test_real_pages_in_nine_languages(data_dir) -> None:
    """Labels come from paths and many pages are not translated, so English is a fair answer everywhere."""
    table = pq.read_table(data_dir / "text/multilingual.parquet", columns=["text", "lang"])
    columns = {"text": table["text"].cast(pa.large_string()), "url": pa.nulls(table.num_rows, pa.string())}
    batch = Batch(pa.table(columns).combine_chunks().to_batches()[0])
    found = language.compute(batch, {})["code"].to_pylist()
    confusion: dict[str, Counter[str]] = {}
    for label, code in zip(table["lang"].to_pylist(), found, strict=True):
        confusion.setdefault(label, Counter())[code] += 1
    for label, codes in confusion.items():
        wrong = sum(n for code, n in codes.items() if code not in (label, "en", "und"))
        assert wrong <= 0.03 * sum(codes.values()), (label, codes)
