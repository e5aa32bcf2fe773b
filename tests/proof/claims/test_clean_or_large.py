"""Claim (c): dirt, the two corpora, the break-even and the rule of the verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tamis.proof.claims import clean_or_large as claim
from tamis.proof.claims._dirt import dirty
from tamis.proof.claims._texts import Page, dirt_share, web_pages
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


def _matter(pages: int) -> claim.Matter:
    both = [(f"clean {place} " * 20, f"dirty {place} " * 40) for place in range(pages)]
    return claim.Matter(both, 400, 0.5, "", "", {})


def test_the_two_corpora_share_no_page() -> None:
    matter = _matter(60)
    clean, large = (bytes(tokens[tokens < 256].astype(np.uint8)).decode() for tokens in matter.draw(3))
    assert "dirty" not in clean
    assert "clean" not in large
    # the last one of each is cut: its number may have lost its end
    of_clean = {word for word in clean.split()[:-1] if word.isdigit()}
    of_dirty = {word for word in large.split()[:-1] if word.isdigit()}
    assert of_clean
    assert not of_clean & of_dirty
    assert len(matter.draw(3)[0]) == 400
    assert len(matter.draw(3)[1]) == 400 * claim.TIMES


def test_too_few_pages_are_said() -> None:
    with pytest.raises(Missing, match="6,400 are needed"):
        _matter(8).draw(0)
    with pytest.raises(Missing):
        replace(_matter(60), small=4000).draw(0)


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


def test_break_even_has_an_interval_or_is_a_bound() -> None:
    gaps = np.array([[0.2, 0.1, -0.1], [0.2, 0.1, -0.05], [0.2, 0.1, -0.15]])
    figure, said = claim.break_even(gaps, (1, 2, 4))
    assert figure.low is not None
    assert figure.low < figure.value < figure.high
    assert "break-even at" in said
    gaps[1, 2] = 0.3
    gaps[2, 2] = 0.3
    figure, said = claim.break_even(gaps, (1, 2, 4))
    assert figure.low is None
    assert "beyond 4 passes in 2 of 3 seeds" in said


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
