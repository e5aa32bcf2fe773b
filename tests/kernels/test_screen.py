"""The screen never lets a line by that ftfy would change."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import ftfy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ftfy import TextFixerConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import texts

from tamis import kernels

CONFIG = TextFixerConfig(
    normalization="NFC",
    unescape_html=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    explain=False,
)


def check(text: pa.Array) -> tuple[int, int]:
    """(lines that ftfy changes, suspicious lines); every one of the first must be among the second."""
    flags = kernels.screen(text)
    rows, starts, ends = (c.tolist() for c in kernels.suspicious_lines(text))
    spans = set(zip(rows, starts, ends, strict=True))
    assert {r for r, _, _ in spans} == {i for i, f in enumerate(flags) if f & kernels.SUSPICIOUS}
    changed = 0
    for row, document in enumerate(text.to_pylist()):
        at = 0
        for line in document.split("\n"):
            end = at + len(line.encode())
            # with its newline, as it is met inside a document, and alone
            last = end == len(document.encode())
            for form in (line, line if last else line + "\n"):
                if ftfy.fix_text(form, CONFIG) != form:
                    changed += 1
                    assert (row, at, end) in spans, ascii(line)
                    break
            at = end + 1
        if unicodedata.normalize("NFC", document) != document:
            assert flags[row] & kernels.NOT_NFC
    return changed, len(spans)


MOJIBAKE = "ÃÂâ€™œ\x9d\x80žŸ¢£©°·»«“”Ðàáæå½¼²³±×√∂≠ΒΓΞΟβВГРСв†‡‰®´ ŒœØÙ‚Ä≈ģā�¸ƒ▓║—–abcXYZ ,.\xa0\xad\n"


@settings(max_examples=400)
@given(st.lists(st.one_of(st.text(st.sampled_from(MOJIBAKE), max_size=12), texts()), max_size=3).map("".join))
def test_sound_on_any_text(text: str) -> None:
    check(pa.array([text]))


@settings(max_examples=200)
@given(st.text(max_size=20), st.sampled_from(["latin-1", "cp1252", "cp1251", "cp1253", "mac_roman", "cp437"]))
def test_sound_on_made_mojibake(text: str, encoding: str) -> None:
    broken = text.encode("utf-8", "ignore").decode(encoding, "replace")
    check(pa.array([f"word {broken} word", broken]))


def test_sound_on_every_character() -> None:
    """Each code point alone, behind a letter and between letters."""
    scalars = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and c != 10]
    flagged = kernels.screen(pa.array(scalars)) & kernels.SUSPICIOUS
    between = kernels.screen(pa.array([f"e{c}e" for c in scalars])) & kernels.SUSPICIOUS
    for c, alone, inside in zip(scalars, flagged.tolist(), between.tolist(), strict=True):
        if not alone and unicodedata.category(c) != "Lo":
            assert ftfy.fix_text(c, CONFIG) == c, hex(ord(c))
        if not inside and unicodedata.category(c)[0] in "MCSP":
            assert ftfy.fix_text(f"e{c}e", CONFIG) == f"e{c}e", hex(ord(c))


@pytest.mark.parametrize("name", ["english", "multilingual"])
def test_sound_on_real_documents(data_dir: Path, name: str) -> None:
    column = pq.read_table(data_dir / "text" / f"{name}.parquet", columns=["text"])["text"].combine_chunks()
    sample = column.take(pa.array(range(0, len(column), len(column) // 150)))
    sample = pa.array([t[:20_000] for t in sample.to_pylist()])
    changed, suspicious = check(sample)
    assert suspicious >= changed


def test_flags() -> None:
    def flags(text: str) -> int:
        return int(kernels.screen(pa.array([text]))[0])

    assert flags("Plain text.\n\nMore of it: äöü, 中文, हिन्दी, ไทย.") == 0
    assert flags("e\u0301") == kernels.NOT_NFC | kernels.SUSPICIOUS
    assert flags("\u05bc\u05b0") & kernels.NOT_NFC  # marks out of order
    assert flags("a\u200bb") == kernels.CONTROLS
    assert flags("\ufeffa") == kernels.CONTROLS | kernels.SUSPICIOUS
    assert flags("a\tb") == flags("a  b") == flags("a \nb") == flags("a ") == kernels.ODD_WHITESPACE
    assert flags("a\n\n\nb") == flags("a\xa0b") == kernels.ODD_WHITESPACE
    assert flags("cafÃ©") & kernels.SUSPICIOUS
    assert flags("a\r\nb") == kernels.SUSPICIOUS | kernels.ODD_WHITESPACE
