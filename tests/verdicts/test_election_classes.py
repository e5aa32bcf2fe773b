"""Documents of equal text: whichever the edges happen to touch, one of them stays at most."""

from __future__ import annotations

import numpy as np

from tamis.verdicts.election import elect


def test_no_copy_stays_because_the_centre_of_its_star_was_dropped() -> None:
    # 0 is the centre of equal texts 0..4 and dropped by a rule; 5 is near 0 and longer
    left, right = np.zeros(5, np.int64), np.arange(1, 6)
    exact = np.array([True, True, True, True, False])
    alive, size = np.array([False, True, True, True, True, True]), np.array([7, 7, 7, 7, 7, 9])
    found = elect(left, right, alive, size, exact)
    assert found.dropped.tolist() == [1, 2, 3, 4]
    assert found.kept.tolist() == [5, 5, 5, 5]
    assert found.edge.tolist() == [4, 4, 4, 4]
    alive[5] = False
    found = elect(left, right, alive, size, exact)
    assert found.dropped.tolist() == [2, 3, 4]
    assert found.kept.tolist() == [1, 1, 1]
    assert exact[found.edge].all()
