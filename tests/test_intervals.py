"""Wilson's interval against published values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.intervals import wilson


def test_published_values():
    # Brown, Cai and DasGupta 2001; Newcombe 1998, table I: 81 of 263
    assert [round(x, 4) for x in wilson(81, 263)] == [0.2553, 0.3662]
    assert [round(x, 4) for x in wilson(8, 10)] == [0.4902, 0.9433]
    assert [round(x, 4) for x in wilson(0, 20)] == [0.0, 0.1611]
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no share"):
        wilson(3, 2)


@given(st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_it_holds_the_share_and_grows_with_the_level(case, level):
    hits, trials = case
    low, high = wilson(hits, trials, level)
    assert 0 <= low <= hits / trials <= high <= 1
    wider = wilson(hits, trials, (1 + level) / 2)
    assert wider[0] <= low
    assert high <= wider[1]
