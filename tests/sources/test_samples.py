"""Files from other projects' tests: truncated, damaged, oddly written. Each is read or refused by name."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from pathlib import Path

import pytest

from tamis.sources import Loss, Record, SourceError, SourceSpec, plan, read

# Records by what became of them. Checked against a count of the headers in the decompressed bytes (below) and,
# where something is lost, by looking at the file.
EXPECTED: dict[str, dict[str, int]] = {
    "aut_badexample.arc.gz": {
        "skipped.mime": 1,
        "skipped.warcinfo": 1,
        "source.bad_header": 1,
        "source.truncated": 1,
        "text": 1,
    },
    "aut_example.arc.gz": {
        "html": 94,
        "skipped.empty": 1,
        "skipped.mime": 122,
        "skipped.status": 47,
        "skipped.warcinfo": 1,
        "text": 35,
    },
    "aut_example.docs.warc.gz": {"skipped.mime": 9, "skipped.request": 9, "skipped.warcinfo": 3},
    "aut_example.pdf.warc.gz": {
        "html": 1,
        "skipped.mime": 31,
        "skipped.request": 37,
        "skipped.revisit": 2,
        "skipped.status": 3,
        "skipped.warcinfo": 2,
    },
    "aut_example.txt.warc.gz": {"skipped.mime": 1, "skipped.request": 2, "skipped.warcinfo": 2, "text": 1},
    "aut_example.warc.gz": {
        "html": 94,
        "skipped.empty": 1,
        "skipped.metadata": 261,
        "skipped.mime": 122,
        "skipped.request": 261,
        "skipped.status": 47,
        "skipped.warcinfo": 1,
        "text": 35,
    },
    "aut_issue-493.warc": {
        "html": 4,
        "skipped.mime": 5,
        "skipped.request": 15,
        "skipped.revisit": 5,
        "skipped.status": 1,
        "skipped.warcinfo": 2,
    },
    "aut_issue-514.warc": {
        "html": 1,
        "skipped.metadata": 1,
        "skipped.request": 2,
        "skipped.status": 1,
        "skipped.warcinfo": 1,
        "text": 2,
    },
    "bad.arc": {"source.bad_header": 1, "source.bad_length": 1},
    "dupes.warc.gz": {
        "html": 1,
        "skipped.empty": 1,
        "skipped.request": 12,
        "skipped.revisit": 9,
        "skipped.status": 1,
        "skipped.warcinfo": 1,
    },
    "example-bad.warc.gz.bad": {
        "html": 1,
        "skipped.request": 2,
        "skipped.revisit": 1,
        "skipped.status": 1,
        "skipped.warcinfo": 1,
    },
    "example-extra.warc": {"html": 1, "skipped.request": 2, "skipped.revisit": 2, "source.bad_http": 1},
    "example-url-agnostic-orig.warc.gz": {"html": 1, "skipped.warcinfo": 1},
    "example-url-agnostic-revisit.warc.gz": {"skipped.revisit": 1, "skipped.warcinfo": 1},
    "example-wget-1-14.warc.gz": {"html": 1, "skipped.request": 1, "skipped.warcinfo": 1, "text": 3},
    "example-wpull.warc.gz": {"html": 1, "skipped.request": 1, "skipped.warcinfo": 1, "text": 1},
    "example.arc": {"html": 1, "skipped.warcinfo": 1},
    "example.arc.gz": {"html": 1, "skipped.warcinfo": 1},
    "example.warc": {
        "html": 1,
        "skipped.request": 1,
        "skipped.revisit": 1,
        "skipped.status": 1,
        "skipped.warcinfo": 1,
        "source.bad_length": 1,
    },
    "example.warc.gz": {
        "html": 1,
        "skipped.request": 2,
        "skipped.revisit": 1,
        "skipped.status": 1,
        "skipped.warcinfo": 1,
    },
    "example2.warc.gz": {"html": 1, "skipped.request": 1, "skipped.warcinfo": 1},
    "gowarc_corrupted-mid-record.warc.gz.open": {"html": 12, "source.bad_member": 1},
    "gowarc_corrupted-trailing-bytes.warc.gz.open": {"html": 30, "source.bad_member": 1},
    "gowarc_empty.warc.gz.open": {"source.empty": 1},
    "gowarc_good.warc.gz.open": {"html": 50},
    "gowarc_single-record.warc.gz.open": {"html": 1},
    "gowarc_skip-non-open.warc.gz": {"html": 10},
    "gowarc_test.warc.gz": {"skipped.mime": 1, "skipped.request": 1, "skipped.warcinfo": 1},
    "httpbin-resource.warc.gz": {"skipped.mime": 1},
    "iana.warc.gz": {
        "html": 16,
        "skipped.empty": 16,
        "skipped.mime": 12,
        "skipped.request": 171,
        "skipped.revisit": 123,
        "skipped.status": 4,
        "skipped.warcinfo": 1,
    },
    "iipc_IAH-20080430204825-00000-blackbook-truncated.arc": {
        "html": 2,
        "skipped.mime": 5,
        "skipped.warcinfo": 1,
        "text": 1,
    },
    "iipc_IAH-urls-wget.warc": {
        "html": 2,
        "skipped.mime": 4,
        "skipped.request": 16,
        "skipped.status": 9,
        "skipped.warcinfo": 1,
        "text": 4,
    },
    "iipc_IAH-urls-wget.warc.gz": {
        "html": 2,
        "skipped.mime": 4,
        "skipped.request": 16,
        "skipped.status": 9,
        "skipped.warcinfo": 1,
        "text": 4,
    },
    "iipc_link-extraction-test.warc": {"html": 7, "skipped.warcinfo": 1},
    "iipc_mutliple-headers.warc": {"html": 1},
    "missing-status-text.warc": {"source.bad_header": 1},
    "post-test.warc.gz": {"skipped.mime": 3, "skipped.request": 3},
    "resiliparse_block-sized-records.warc": {"skipped.type": 3},
    "resiliparse_block-sized-records.warc.gz": {"skipped.type": 3},
    "resiliparse_clipped.warc.gz": {"source.truncated": 1},
    "resiliparse_clueweb-quirk.warc.gz": {"html": 29, "skipped.warcinfo": 1},
    "resiliparse_warcfile.warc": {"html": 16, "skipped.metadata": 16, "skipped.request": 17, "skipped.warcinfo": 1},
    "resiliparse_warcfile.warc.gz": {"html": 16, "skipped.metadata": 16, "skipped.request": 17, "skipped.warcinfo": 1},
    "warcio_bad.arc": {"source.bad_header": 1, "source.bad_length": 1},
    "warcio_example-bad-non-chunked.warc.gz": {
        "html": 1,
        "skipped.request": 2,
        "skipped.warcinfo": 2,
        "source.bad_digest": 1,
    },
    "warcio_example-bad.warc.gz.bad": {
        "html": 1,
        "skipped.request": 2,
        "skipped.revisit": 1,
        "skipped.status": 1,
        "skipped.warcinfo": 1,
    },
    "warcio_example-digest.warc": {"skipped.request": 4},
    "warcio_example-iana.org-chunked.warc": {"html": 1, "skipped.request": 1, "skipped.warcinfo": 1},
    "warcio_example-resource.warc.gz": {"html": 1, "skipped.warcinfo": 2},
    "warcio_example-space-in-target-uri.warc.gz": {"skipped.mime": 1, "skipped.warcinfo": 1},
    "warcio_example-space-in-url.arc": {"skipped.warcinfo": 1, "source.truncated": 1},
    "warcio_example-trunc.warc": {"skipped.request": 1, "skipped.warcinfo": 2, "source.bad_digest": 1},
    "warcio_example-wget-bad-target-uri.warc.gz": {
        "html": 1,
        "skipped.metadata": 1,
        "skipped.request": 1,
        "skipped.warcinfo": 1,
        "text": 2,
    },
    "warcio_example-wrong-chunks.warc.gz": {"html": 1, "skipped.request": 1},
    "warcio_example.arc": {"html": 1, "skipped.warcinfo": 1},
    "warcio_example.arc.gz": {"html": 1, "skipped.warcinfo": 1},
    "warcio_example.warc": {"html": 1, "skipped.request": 2, "skipped.revisit": 1, "skipped.warcinfo": 2},
    "warcio_example.warc.gz": {"html": 1, "skipped.request": 2, "skipped.revisit": 1, "skipped.warcinfo": 2},
    "warcio_post-test.warc.gz": {"skipped.mime": 3, "skipped.request": 3},
    "whirlwind.warc": {"html": 1, "skipped.metadata": 1, "skipped.request": 1, "skipped.warcinfo": 1},
    "whirlwind.warc.gz": {"html": 1, "skipped.metadata": 1, "skipped.request": 1, "skipped.warcinfo": 1},
    "whirlwind.warc.wat": {"skipped.metadata": 1, "skipped.warcinfo": 1},
    "whirlwind.warc.wat.gz": {"skipped.metadata": 1, "skipped.warcinfo": 1},
    "whirlwind.warc.wet": {"skipped.warcinfo": 1, "text": 1},
    "whirlwind.warc.wet.gz": {"skipped.warcinfo": 1, "text": 1},
}

REFUSED = {"resiliparse_block-sized-records.warc.lz4", "resiliparse_warcfile.warc.lz4"}


def counted(path: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for split in plan(SourceSpec("samples", [str(path)])):
        for item in read(split):
            counts[item.kind if isinstance(item, Record) else item.reason] += 1
    return counts


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_counts(name: str, data_dir: Path) -> None:
    assert dict(counted(data_dir / "web/samples" / name)) == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_lz4_is_refused_by_name(name: str, data_dir: Path) -> None:
    with pytest.raises(SourceError, match=rf"{re.escape(name)} is compressed with LZ4"):
        counted(data_dir / "web/samples" / name)


def test_the_table_is_complete(data_dir: Path) -> None:
    assert {path.name for path in (data_dir / "web/samples").iterdir()} == EXPECTED.keys() | REFUSED


def test_every_header_is_counted(data_dir: Path) -> None:
    """An independent count: WARC headers at line starts in what zlib inflates, damage passed over."""
    # In these, text that is no header begins with WARC/, or damage adds a loss that is no record.
    damaged = {"gowarc_corrupted-mid-record.warc.gz.open", "gowarc_corrupted-trailing-bytes.warc.gz.open"}
    for name, expected in EXPECTED.items():
        if ".warc" not in name or name == "missing-status-text.warc" or name == "gowarc_empty.warc.gz.open":
            continue
        content = inflated((data_dir / "web/samples" / name).read_bytes())
        headers = len(re.findall(rb"(?m)^WARC/\d\.\d+\r?$", content))
        assert sum(expected.values()) == headers + (name in damaged), name


def inflated(data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    out = []
    while data.startswith(b"\x1f\x8b"):
        decoder = zlib.decompressobj(31)
        try:
            out.append(decoder.decompress(data))
        except zlib.error:
            break
        data = decoder.unused_data
    return b"".join(out)


@pytest.mark.parametrize(("name", "pages"), [("debdocs-00000", 3690), ("debdocs-00004", 3690), ("pages", 549)])
def test_real_crawls(name: str, pages: int, data_dir: Path) -> None:
    path = data_dir / f"web/{name}.warc.gz"
    with gzip.open(path) as file:
        headers = sum(line.startswith(b"WARC/1.") for line in file)
    counts = counted(path)
    assert counts["html"] == pages
    assert sum(counts.values()) == headers
    assert not [reason for reason in counts if reason.startswith("source.")]


def test_a_truncated_file_says_so(data_dir: Path) -> None:
    path = data_dir / "web/samples/resiliparse_clipped.warc.gz"
    (split,) = plan(SourceSpec("samples", [str(path)]))
    (loss,) = read(split)
    assert isinstance(loss, Loss)
    assert (loss.reason, loss.offset, loss.file) == ("source.truncated", 0, path.name)
