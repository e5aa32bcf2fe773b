"""Claim (c): dirt, the two corpora, the break-even and the rule of the verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tamis.proof.claims import clean_or_large as claim
from tamis.proof.claims._dirt import AGAIN, dirty
from tamis.proof.claims._texts import HELD_LONGEST, Page, dirt_share, held_out, size, web_pages
from tamis.proof.claims.claim import Missing, Verdict

pytest.importorskip("scipy")

BODY = 'The committee\'s report - it says "nothing" - was read aloud to everybody.\n' * 20


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_made_dirt_has_the_share_that_was_asked(share) -> None:
    docs = [(str(place), f"Site {place // 6} page {place}\n{BODY}") for place in range(60)]
    found = dirty(docs, share, seed=1)
    assert found == dirty(docs, share, seed=1)
    assert found != dirty(docs, share, seed=2)
    clean = sum(len(body) for _, body in docs)
    whole = sum(len(body) for _, body in found)
    assert 1 - clean / whole == pytest.approx(share, abs=0.08)


def test_made_dirt_has_all_its_kinds() -> None:
    docs = [(str(place), f"Page {place} of the handbook\n{BODY}") for place in range(60)]
    found = dict(dirty(docs, 0.5, seed=1))
    whole = "\n".join(found.values())
    assert any(name.endswith(" again") for name in found)  # copies
    assert "\u00e2\u0080\u0099" in whole  # an apostrophe in the wrong encoding
    assert "</div>" in whole
    first, second = (found[name].split("\n")[:3] for name in ("0", "1"))
    assert first == second  # pages of one site begin alike


def test_dirt_of_a_page_is_what_its_marked_text_lacks() -> None:
    clean = "It rained for a week.\nThen the sun came out."
    assert dirt_share([Page("", clean, clean)]) == 0
    assert dirt_share([Page("", clean, f"Log in | Help\n{clean}\nCopyright")]) == pytest.approx(22 / 65, abs=0.01)


def test_real_pages_are_dirty(data_dir) -> None:
    pages = web_pages(30)
    assert len(pages) == 30
    assert 0.2 < dirt_share(pages) < 0.7
    assert sum(len(page.raw) for page in pages) > 1.2 * sum(len(page.clean) for page in pages)


def _matter(pages: int, made: bool = False) -> claim.Matter:
    both = [(f"clean{place} " * 20, None if made else f"dirty{place} " * 40) for place in range(pages)]
    return claim.Matter(both, 400, "", "", {})


def _words(docs) -> set[str]:
    return {word for _, body in docs for word in body.split()}


@pytest.mark.parametrize("made", [False, True])
def test_the_two_corpora_share_no_page(made) -> None:
    drawn = _matter(120, made).draw(3)
    clean, large = _words(drawn.clean), _words(drawn.dirty)
    assert clean
    assert all(word.startswith("clean") for word in clean)
    assert not clean & large
    assert drawn.pages[0] == len(clean)
    if not made:
        assert all(word.startswith("dirty") for word in large)
        assert drawn.pages[1] == len(large)
    assert size(drawn.clean) >= 400
    assert size(drawn.dirty) >= 400 * claim.TIMES
    assert drawn == _matter(120, made).draw(3)
    assert drawn != _matter(120, made).draw(4)


def test_no_page_makes_up_a_corpus() -> None:
    """Whole pages of 30,000 characters would make up a corpus of 9,000 alone."""
    both = [("\n".join(f"clean {place} {line}" for line in range(2000)), "raw " * 9000) for place in range(80)]
    drawn = claim.Matter(both, 9000, "", "", {}).draw(0)
    assert min(drawn.pages) >= 3
    assert max(len(body) for _, body in [*drawn.clean, *drawn.dirty]) <= claim.LONGEST
    assert all(body.startswith("clean") for _, body in drawn.clean)  # from the beginning of a line
    assert len({body.split("\n")[0].split()[-1] for _, body in drawn.clean}) > 1  # not all from the same place


def test_made_dirt_keeps_its_copies_and_its_share() -> None:
    both = [(f"Page {place} of the handbook\n{BODY}", None) for place in range(60)]
    drawn = claim.Matter(both, 3000, "", "", {}).draw(1)
    copies = [name for name, _ in drawn.dirty if name.endswith(AGAIN)]
    assert copies
    once = {name.removesuffix(AGAIN) for name, _ in drawn.dirty}
    clean = sum(len(both[int(name)][0]) for name in once)
    assert drawn.share == pytest.approx(1 - clean / sum(len(body) for _, body in drawn.dirty))
    assert drawn.share == pytest.approx(claim.DIRT, abs=0.08)


def test_too_few_pages_are_said() -> None:
    with pytest.raises(Missing, match="6,400 are needed"):
        _matter(8).draw(0)
    with pytest.raises(Missing):
        replace(_matter(60), small=4000).draw(0)


def test_held_out_text_is_of_many_documents_and_shares_nothing() -> None:
    rng = np.random.default_rng(0)
    docs = [(str(d), " ".join(f"w{int(k)}" for k in rng.integers(0, 5000, 600))) for d in range(12)]
    trained = docs[3][1][:HELD_LONGEST] + " and more"
    apart = held_out({"one": docs}, [trained], 10)
    names = [name for name, _ in apart.texts["one"]]
    assert names == [f"{d}#0" for d in range(11) if d != 3]  # first pieces before second ones
    assert "10 documents" in apart.said
    assert not any(body[:40] in trained for _, body in apart.texts["one"])
    with pytest.raises(Missing, match="nothing is left"):
        held_out({"one": docs[3:4]}, [docs[3][1]], 2)


@pytest.mark.parametrize(
    ("gap", "passes"),
    [
        ([0.2, 0.1, -0.1, -0.3], 2 * 2**0.5),  # between 2 and 4, half way on the log scale
        ([0.2, -0.1, 0.3, -0.1], 4 * 2**0.75),  # the last time counts
        ([0.2, 0.1, 0.1, 0.1], np.inf),
        ([-0.2, -0.1, -0.1, -0.1], 0.0),
    ],
)
def test_break_even_of_one_seed(gap, passes) -> None:
    assert 2 ** claim._crossing(np.log2([1.0, 2, 4, 8]), np.array(gap)) == pytest.approx(passes)


def test_break_even_is_the_median_and_has_an_interval_of_order_statistics() -> None:
    gaps = np.array([[0.2, 0.1, -0.1 - 0.02 * place] for place in range(12)])
    figure, said = claim.break_even(gaps, (1, 2, 4))
    each = sorted(float(2 ** claim._crossing(np.log2([1.0, 2, 4]), gap)) for gap in gaps)
    assert figure.value == pytest.approx((each[5] * each[6]) ** 0.5)
    assert (figure.low, figure.high) == (pytest.approx(each[2]), pytest.approx(each[9]))  # covers 96.1%
    assert "median break-even at" in said


def test_break_even_counts_seeds_outside() -> None:
    """Four seeds cross near 6 and one before 1: as a mean, and as a bound, this was 1."""
    gaps = np.array([[0.3, 0.2, 0.1, -0.1]] * 4 + [[-0.1, -0.1, -0.1, -0.1]])
    figure, said = claim.break_even(gaps, (1, 2, 4, 8))
    assert figure.value == pytest.approx(4 * 2**0.5)
    assert figure.low is None
    assert "before 1 pass in 1 of 5 seeds" in figure.note
    assert "before 1 pass in 1 of 5 seeds" in said


def test_break_even_beyond_what_was_measured_is_no_value() -> None:
    gaps = np.array([[0.3, 0.2, 0.1]] * 5 + [[0.3, 0.2, -0.1]] * 2)
    figure, said = claim.break_even(gaps, (1, 2, 4))
    assert np.isnan(figure.value)
    assert figure.low is None
    assert said == "break-even beyond 4 passes in 5 of 7 seeds"


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [(0.05, Verdict.HOLDS), (-0.05, Verdict.DOES_NOT_HOLD), (0.001, Verdict.NOT_SHOWN)],
)
def test_verdict_is_that_of_the_stated_compute(gap, verdict) -> None:
    passes = (1, claim.DECIDES, 16)
    scatter = 0.01 * np.array([-1, -0.5, 0, 0.5, 1])
    scores = np.full((5, 2, 3), 3.0)
    scores[:, 1] += 0.3  # clean is better elsewhere: that must not decide
    scores[:, 1, 1] = 3.0 + gap + scatter
    judged = claim.judge(scores, passes, 72)
    assert judged.verdict is verdict
    assert judged.figures[0].value == pytest.approx(gap)
