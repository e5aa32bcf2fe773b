from __future__ import annotations

import json
from collections import Counter

import pytest

from tamis.clean.identifiers import find, luhn

FOUND = [
    ("email", "mail Jane.Doe+x@mail.uni-bonn.de, please", "Jane.Doe+x@mail.uni-bonn.de"),
    ("email", "邮箱zhang@qq.com。", "zhang@qq.com"),
    ("ip", "from 82.50.72.202:80", "82.50.72.202"),
    ("ip", "[2001:67c:2564:a119::77]", "2001:67c:2564:a119::77"),
    ("iban", "IBAN: GB82 WEST 1234 5698 7654 32 and more", "GB82 WEST 1234 5698 7654 32"),
    ("iban", "de89370400440532013000", "de89370400440532013000"),
    ("card", "card 4111 1111 1111 1111 12/27", "4111 1111 1111 1111"),
    ("card", "378282246310005", "378282246310005"),
    ("id", "身份证11010519491231002X号", "11010519491231002X"),
    ("id", "SSN 078-05-1120.", "078-05-1120"),
    ("phone", "call +49 (30) 1234-5678 now", "+49 (30) 1234-5678"),
    ("phone", "(214) 654-5555", "(214) 654-5555"),
    ("phone", "手机13812345678", "13812345678"),
    ("phone", "Tel.: 467 3395", "467 3395"),
    ("phone", "01.84.17.61.18", "01.84.17.61.18"),
]
NOTHING = [
    "user@example.com, icon@2x.png, a@b, @home, foo@localhost",
    "version 82.50.72.202, v104.0.5112.79, 10.0.0.1, 192.168.1.1, 127.0.0.1, 3.12.5.2, 1.2.3.4.5, 999.1.1.1",
    "6.1.8.65. A heading\n12.104.3.1\u00a0Another",
    "std::vector::size, 12:30:45, 00:1a:2b:3c:4d:5e, fe80::1, 2018::12:03:32, a::b::c",
    "GB82 WEST 1234 5698 7654 33",
    "4111 1111 1111 1112, 1234567812345678, 0000000000000000",
    "110105194912310021, 11010519491331002X",
    "2020-06-20 14:11:22, ISBN 978-0-13-110362-7, 3.141592653589793, 2147483647, +2147483647",
    "0f 00 08 08 64 00 0a 00 01 75 03 91 03 95 06",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10; 0x00000003; 1000000000",
]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_found(kind: str, text: str, value: str) -> None:
    data = text.encode()
    assert [(span.kind, data[span.start : span.end].decode()) for span in find(data)] == [(kind, value)]


@pytest.mark.parametrize("text", NOTHING)
def test_not_found(text: str) -> None:
    data = text.encode()
    assert [data[span.start : span.end] for span in find(data)] == []


def test_luhn_of_the_standards_example() -> None:
    assert luhn(b"79927398713")
    assert not any(luhn(b"7992739871%d" % d) for d in range(10) if d != 3)


# kind, label in the data set, least recall; precision is 1 for all
LABELS = [
    ("email", "EMAIL_ADDRESS", 1.0),
    ("iban", "IBAN_CODE", 1.0),
    ("card", "CREDIT_CARD", 0.93),
    ("id", "US_SSN", 1.0),
    ("ip", "IP_ADDRESS", 1.0),
    ("phone", "PHONE_NUMBER", 0.75),
]


def test_precision_and_recall_on_synthetic_sentences(data_dir) -> None:
    hits: Counter[str] = Counter()
    golds: Counter[str] = Counter()
    wrong: list[tuple[str, str]] = []
    for row in json.loads((data_dir / "pii/synth_dataset_v2.json").read_text(encoding="utf-8")):
        text = row["full_text"]
        spans = find(text.encode())
        for kind, label, _ in LABELS:
            gold = [
                (len(text[: s["start_position"]].encode()), len(text[: s["end_position"]].encode()))
                for s in row["spans"]
                if s["entity_type"] == label
            ]
            mine = [s for s in spans if s.kind == kind]
            golds[kind] += len(gold)
            hits[kind] += sum(any(s.start < b and a < s.end for s in mine) for a, b in gold)
            wrong += [(kind, text) for s in mine if not any(s.start < b and a < s.end for a, b in gold)]
    assert wrong == []
    for kind, _, least in LABELS:
        assert hits[kind] >= least * golds[kind], kind
