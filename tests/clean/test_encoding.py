"""Which encoding wins, and that the result is always valid UTF-8."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.clean.encoding import decode

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 4
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 4
CHINESE = "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。寒来暑往，秋收冬藏。" * 4


@pytest.mark.parametrize(
    ("payload", "charset", "text", "encoding"),
    [
        (b"plain", None, "plain", "ascii"),
        (b"plain", "utf-16", "plain", "ascii"),
        ("é".encode(), "iso-8859-1", "é", "utf-8"),  # what the bytes prove beats what the server says
        (b"\xef\xbb\xbf\xc3\xa9", "latin1", "é", "utf-8"),
        (b"\xff\xfea\x00\xe9\x00", None, "aé", "utf-16-le"),
        (b"\xfe\xff\x00a\x00\xe9", None, "aé", "utf-16-be"),
        (b"caf\xe9 \x93x\x94 \x81", "ISO-8859-1", "café “x” \x81", "cp1252"),
        (RUSSIAN.encode("cp1251"), "windows-1251", RUSSIAN, "cp1251"),
        (RUSSIAN.encode("koi8-r"), '"KOI8-R"', RUSSIAN, "koi8-r"),
        (JAPANESE.encode("shift_jis"), "Shift_JIS", JAPANESE, "shift_jis"),
        (JAPANESE.encode("iso2022_jp"), "iso-2022-jp", JAPANESE, "iso2022_jp"),
        (JAPANESE.encode("euc_jp"), "utf-8", JAPANESE, "euc_jp"),  # a wrong label: detected
        (CHINESE.encode("gb18030"), None, CHINESE, None),
        (RUSSIAN.encode("cp1251"), "x-nonsense", RUSSIAN, "cp1251"),
        (RUSSIAN.encode("cp1251"), "raw_unicode_escape", RUSSIAN, "cp1251"),
    ],
)
def test_known_payloads(payload: bytes, charset: str | None, text: str, encoding: str | None) -> None:
    made, used = decode(payload, charset, html=False)
    assert made == text
    assert encoding is None or used.lower() == encoding


def test_meta_and_xml_declarations_count_in_html_only() -> None:
    page = b'<html><head><meta charset="koi8-r"></head>' + RUSSIAN.encode("koi8-r")
    assert decode(page, None, html=True)[0].endswith(RUSSIAN)
    page = b'<?xml version="1.0" encoding="windows-1251"?><html>' + RUSSIAN.encode("cp1251")
    assert decode(page, None, html=True)[1] == "cp1251"
    page = b'<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=EUC-JP">' + JAPANESE.encode("euc_jp")
    assert decode(page, None, html=True)[0].endswith(JAPANESE)


def test_a_few_damaged_bytes_do_not_change_the_encoding() -> None:
    payload = (RUSSIAN * 50).encode()[:-1] + b"\xff"
    text, used = decode(payload, "utf-8", html=False)
    assert used == "utf-8"
    assert text.count("\ufffd") <= 3


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=50).map(lambda t: t.encode("utf-8", "surrogatepass"))),
    st.sampled_from(
        [None, "utf-8", "utf-16", "utf-7", "gbk", "big5", "shift_jis", "euc-kr", "iso-2022-jp", "hex", "é"]
    ),
    st.booleans(),
)
def test_the_result_can_always_be_written_as_utf8(payload: bytes, charset: str | None, html: bool) -> None:
    text, _ = decode(payload, charset, html=html)
    text.encode()
