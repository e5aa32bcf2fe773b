import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.corpus.mixture import MixtureError, copies, plan
from tamis.corpus.order import id_words
from tamis.corpus.tally import Tally


def tally(documents: int, tokens: int) -> Tally:
    return Tally(documents, tokens * 4, tokens, float(documents), float(tokens), tokens * 4.0)


WEB, WIKI = tally(1000, 100_000), tally(100, 20_000)
KEPT = {"web": WEB, "wiki": WIKI}


def test_without_a_wish_everything_enters_once() -> None:
    made = plan(KEPT)
    assert made.rates() == {"web": 1.0, "wiki": 1.0}
    assert made.tokens == 120_000
    assert made.limited_by == ()


def test_weights_without_a_target_give_as_much_as_the_epochs_allow() -> None:
    made = plan(KEPT, weights={"web": 0.5, "wiki": 0.5})
    assert made.rates() == {"web": pytest.approx(0.2), "wiki": pytest.approx(1.0)}
    assert made.limited_by == ("wiki",)
    more = plan(KEPT, weights={"web": 0.5, "wiki": 0.5}, epochs={"wiki": 3})
    assert more.rates() == {"web": pytest.approx(0.6), "wiki": pytest.approx(3.0)}


def test_a_target_under_the_bound_is_met() -> None:
    made = plan(KEPT, weights={"web": 3, "wiki": 1}, tokens=40_000)
    assert made.rates() == {"web": pytest.approx(0.3), "wiki": pytest.approx(0.5)}
    assert made.tokens == pytest.approx(40_000)
    assert made.limited_by == ()


def test_proportions_come_before_the_target() -> None:
    made = plan(KEPT, weights={"web": 3, "wiki": 1}, tokens=200_000, epochs={"wiki": 4})
    assert made.rates() == {"web": pytest.approx(1.0), "wiki": pytest.approx(5 / 3)}
    assert made.limited_by == ("web",)


def test_a_target_without_weights_thins_all_alike() -> None:
    made = plan(KEPT, epochs={"wiki": 2}, tokens=70_000)
    assert made.rates() == {"web": pytest.approx(0.5), "wiki": pytest.approx(1.0)}
    assert plan(KEPT, tokens=10**9).limited_by == ("web", "wiki")


def test_documents_as_the_unit() -> None:
    made = plan(KEPT, unit="documents", weights={"web": 0.8, "wiki": 0.2})
    assert [share.documents for share in made.shares] == [pytest.approx(400), pytest.approx(100)]
    half = plan(KEPT, unit="documents", weights={"web": 0.8, "wiki": 0.2}, tokens=30_000)
    assert half.tokens == pytest.approx(30_000)
    assert [share.documents for share in half.shares] == [pytest.approx(200), pytest.approx(50)]


def test_epochs_by_source() -> None:
    assert plan(KEPT, epochs={"wiki": 2.5}).rates() == {"web": 1.0, "wiki": 2.5}


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"weights": {"web": 1, "wiki": 1, "books": 1}}, "no document of `books` was kept"),
        ({"weights": {"web": 1}}, "lacks `wiki`"),
        ({"weights": {"web": -1, "wiki": 1}}, "0 or more"),
        ({"weights": {"web": float("nan"), "wiki": 1}}, "0 or more"),
        ({"weights": {"web": 0, "wiki": 0}}, "all 0"),
        ({"epochs": {"books": 2}}, "no document of `books`"),
    ],
)
def test_a_wish_that_cannot_be_met_says_why(wish: dict[str, object], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        plan(KEPT, **wish)  # type: ignore[arg-type]


@given(st.floats(0, 4), st.integers(0, 5))
def test_copies_come_to_the_rate(rate: float, seed: int) -> None:
    words = id_words(pa.array([f"{n:032x}" for n in range(2_000)]))
    times = copies(words, np.full(2_000, rate), seed)
    assert set(times.tolist()) <= {int(rate), int(rate) + 1}
    assert abs(times.mean() - rate) < 0.06


def test_a_larger_rate_only_adds() -> None:
    """So that raising a weight never exchanges documents: the smaller corpus is part of the larger."""
    words = id_words(pa.array([f"{n:032x}" for n in range(1_000)]))
    less, more = (copies(words, np.full(1_000, rate), 1) for rate in (0.3, 0.7))
    assert (less <= more).all()


def test_table_tells_planned_from_reached() -> None:
    made = plan(KEPT, weights={"web": 1, "wiki": 1})
    rows = made.table({"web": tally(210, 21_000), "wiki": WIKI})
    assert [row["planned_tokens"] for row in rows] == [20_000, 20_000]
    assert [row["tokens"] for row in rows] == [21_000, 20_000]
    assert sum(row["share"] for row in rows) == pytest.approx(1)
