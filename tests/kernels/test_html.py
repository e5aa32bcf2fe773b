"""html_bounds: the native kernel against its plain specification."""

from hypothesis import given
from hypothesis import strategies as st

from tamis import kernels
from tamis.clean import limits
from tamis.kernels import html_reference
from tamis.sources import Record, SourceSpec, plan, read

NAMES = (limits._FLAT_KEYS, limits._HTML_KEYS, limits._FORMATTING_KEYS)
PIECES = ["<", ">", "/", "</", "<\\/", "div", "DIV", "b", "p", "svg", "path", "custom-element"]
PIECES += [" ", "\n", "a=1", "\0", "é", "-"]


def same(page, long_tag=64, many=5):
    found = kernels.html_bounds(page, *NAMES, long_tag, many)
    assert found == html_reference.html_bounds(page, *NAMES, long_tag, many)
    return found


@given(st.lists(st.sampled_from(PIECES), max_size=120).map("".join))
def test_any_soup_of_tags(page):
    same(page.encode())


@given(st.binary(max_size=200))
def test_any_bytes(page):
    same(page)


def test_known_pages():
    assert same(b"<div><div></div></div>") == (4, 0, 2, 0)
    assert same(b"<b>" * 70) == (70, 0, 70, 70)
    assert same(b"<p>" * 70) == (70, 0, 0, 0)
    assert same(b"<div " + b"x " * 50 + b">") == (1, 51 * 51, 1, 0)
    assert same(b"") == (0, 0, 0, 0)
    assert same(b"<") == (1, 0, 0, 0)


def test_real_pages(data_dir, require):
    require(kernels.backend() == "native", "the reference would be compared with itself")
    splits = plan(SourceSpec("pages", [str(data_dir / "web/pages.warc.gz")]))
    pages = [item.payload for split in splits for item in read(split) if isinstance(item, Record)]
    assert len(pages) == 549
    for page in pages[::5]:
        same(page, limits._LONG_TAG, limits._ATTRIBUTES)


def test_the_native_kernels_are_there(require):
    """Everything that compares the two backends skips without a compiler; where nothing may be skipped, this fails."""
    require(kernels.backend() == "native", kernels.describe())
