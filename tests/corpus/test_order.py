import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.corpus.order import below, draw, id_words, partition

HEX = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(st.lists(HEX, max_size=20), st.integers(0, 3))
def test_ids_are_read_as_the_numbers_they_spell(ids: list[str], skip: int) -> None:
    words = id_words(pa.array(ids, pa.string()).slice(min(skip, len(ids))))
    expected = [(int(one[:16], 16), int(one[16:], 16)) for one in ids[min(skip, len(ids)) :]]
    assert [tuple(map(int, row)) for row in words] == expected


@pytest.mark.parametrize("bad", ["", "0" * 31, "G" * 32, "A" * 32, None])
def test_what_is_no_id_is_refused(bad: str | None) -> None:
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        id_words(pa.array(["0" * 32, bad], pa.string()))


def test_draws_are_uniform_and_independent_of_each_other() -> None:
    words = id_words(pa.array([f"{n:032x}" for n in range(20_000)]))  # worst case: ids that only count
    draws = [draw(words, seed, purpose) for seed in (0, 1) for purpose in ("mixture", "shuffle")]
    draws.append(draw(words, 0, "shuffle", copy=1))
    for one in draws:
        share = one.astype(np.float64) / 2**64
        counts = np.histogram(share, 16, (0, 1))[0]
        assert ((counts - 1250) ** 2 / 1250).sum() < 50  # chi-squared of 15 degrees: p = 1e-5
    correlation = np.corrcoef([one.astype(np.float64) for one in draws])
    assert np.abs(correlation - np.eye(len(draws))).max() < 0.04


def test_draws_stay_what_they_were() -> None:
    """Another value would silently reorder every corpus: a change needs a version bump of the stages that draw."""
    words = id_words(pa.array(["0123456789abcdef" * 2]))
    assert [int(draw(words, 17, "shuffle", copy)[0]) for copy in (0, 1)] == [6145216857754593340, 12606068840901502410]


@given(st.floats(0, 1))
def test_below_takes_the_share(share: float) -> None:
    words = id_words(pa.array([f"{n:032x}" for n in range(2_000)]))
    taken = below(draw(words, 3, "x"), share).mean()
    assert abs(taken - share) < 0.06


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50), st.integers(1, 1000))
def test_partitions_are_ranges_in_order(keys: list[int], count: int) -> None:
    ordered = np.sort(np.array(keys, dtype=np.uint64))
    places = partition(ordered, count)
    assert (np.diff(places) >= 0).all()
    assert places.min() >= 0
    assert places.max() < count
