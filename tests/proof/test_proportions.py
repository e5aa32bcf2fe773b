import numpy as np
import pytest

from tamis.proof.metric import NothingCounted
from tamis.proof.proportions import false_positive_rate, same_items, two_shares


def independent(a, b):
    return two_shares(int(a.sum()), len(a), int(b.sum()), len(b)).p


def paired(a, b):
    return same_items(a, b).p


def test_newcombe_1998_table_2():
    found = two_shares(48, 80, 56, 70)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    found = two_shares(3, 10, 9, 10)
    assert (round(found.low, 4), round(found.high, 4)) == (0.1705, 0.8090)


def test_p_values_are_those_of_the_references():
    from scipy.stats import binomtest, chi2_contingency, fisher_exact

    table = np.array([[30, 70], [45, 55]])
    chi = chi2_contingency(table, correction=False).statistic * 199 / 200
    from scipy.stats import chi2

    assert two_shares(30, 100, 45, 100).p == pytest.approx(chi2.sf(chi, 1))
    rare = two_shares(0, 40, 1, 3)
    assert rare.test == "Fisher's exact"
    assert rare.p == pytest.approx(fisher_exact([[0, 40], [1, 2]]).pvalue)
    a = np.array([True] * 12 + [False] * 30)
    b = np.array([True] * 2 + [False] * 10 + [True] * 3 + [False] * 27)
    exact = binomtest(3, 13).pvalue
    assert 0.5 * exact < same_items(a, b).p < exact


@pytest.mark.parametrize(("n", "share"), [((20, 20), 0.5), ((60, 25), 0.2), ((200, 200), 0.05), ((10, 10), 0.1)])
def test_the_false_positive_rate_is_the_stated_one(n, share):
    rate, low, _ = false_positive_rate(independent, n, share, trials=1500)
    assert low <= 0.05
    assert rate <= 0.065
    rate, low, _ = false_positive_rate(paired, (n[1], n[1]), share, trials=1500)
    assert low <= 0.05
    assert rate <= 0.065


def test_nothing_and_all_equal():
    assert two_shares(0, 5, 0, 9).p == 1
    assert same_items([True, False], [True, False]).p == 1
    with pytest.raises(NothingCounted):
        two_shares(0, 0, 1, 2)
    with pytest.raises(ValueError, match="no share"):
        two_shares(3, 2, 0, 1)
