"""Bradley-Terry: published strengths, ties, position, raters, what cannot be compared."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.people.labels import Labels, NotLabels
from tamis.people.preference import Comparisons, Standing, bradley_terry


@pytest.fixture(scope="module")
def pandalm(data_dir):
    """999 pairs of answers by five models, three annotators."""
    rows = json.loads((data_dir / "preference/pandalm_testset_v1.json").read_text())
    choice = {1: "first", 2: "second", 0: "tie"}
    judged = []
    for row in rows:
        first, second = (name.split("-")[0] for name in row["cmp_key"].split("_"))
        judged += [(first, second, choice[row[f"annotator{who}"]], str(who)) for who in (1, 2, 3)]
    return judged


def test_pandalm(pandalm):
    found = bradley_terry(Comparisons.of(*zip(*pandalm, strict=True)), prior=0)
    expected = {"llama": 0.6954, "pythia": 0.0864, "bloom": -0.0128, "opt": -0.2143, "cerebras": -0.5546}
    assert dict(zip(found.names, found.strength.round(4).tolist(), strict=True)) == expected
    assert found.standing is Standing.CONVERGED
    assert found.components == 1
    weak = bradley_terry(Comparisons.of(*zip(*pandalm, strict=True)))
    assert weak.strength == pytest.approx(found.strength, abs=1e-4)
    assert [row["name"] for row in found.to_json()["strengths"]] == list(expected)
    assert found.probability("llama", "cerebras") == pytest.approx(1 / (1 + math.exp(-0.6954 - 0.5546)), abs=1e-4)


def test_order_and_names_change_nothing(pandalm):
    first = bradley_terry(Comparisons.of(*zip(*pandalm, strict=True)), ties="davidson", position="rater")
    again = bradley_terry(Comparisons.of(*zip(*pandalm[::-1], strict=True)), ties="davidson", position="rater")
    assert first.strength.tolist() == again.strength.tolist()
    turned = [(b, a, {"first": "second", "second": "first", "tie": "tie"}[c], who) for a, b, c, who in pandalm]
    mirror = bradley_terry(Comparisons.of(*zip(*turned, strict=True)), ties="davidson", position="all")
    plain = bradley_terry(Comparisons.of(*zip(*pandalm, strict=True)), ties="davidson", position="all")
    assert mirror.strength == pytest.approx(plain.strength, abs=1e-4)
    assert mirror.position["all"][0] == pytest.approx(-plain.position["all"][0], abs=1e-4)


def test_two_are_compared_by_the_book():
    """3 of 4 decided: log odds log 3; Davidson's tie parameter makes a tie as frequent as it is."""
    rows = [("a", "b", "first")] * 3 + [("b", "a", "first")] + [("a", "b", "tie")] * 2
    half = bradley_terry(Comparisons.of(*zip(*rows, strict=True)), prior=0)
    assert half.strength[0] - half.strength[1] == pytest.approx(math.log(4 / 2), abs=1e-6)
    error = 1 / math.sqrt(6 * (2 / 3) * (1 / 3))  # of the difference, from the information of six comparisons
    assert half.high[0] - half.strength[0] == pytest.approx(1.96 * error / 2, rel=1e-3)
    davidson = bradley_terry(Comparisons.of(*zip(*rows, strict=True)), prior=0, ties="davidson")
    assert davidson.strength[0] - davidson.strength[1] == pytest.approx(math.log(3), abs=0.02)
    assert math.exp(davidson.tie) == pytest.approx(2 / math.sqrt(3), abs=0.02)


def test_what_the_prior_holds_and_what_nobody_compared():
    won = bradley_terry(Comparisons.of(["a", "b"], ["b", "c"], ["first", "first"]))
    assert won.standing is Standing.HELD_BY_PRIOR
    assert np.isfinite(won.strength).all()
    apart = bradley_terry(Comparisons.of("acac", "bdbd", ["first", "second", "second", "first"]))
    assert apart.standing is Standing.SEVERAL_COMPONENTS
    assert apart.component.tolist() == [0, 0, 1, 1]
    assert apart.probability("a", "b") == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(ValueError, match="different components"):
        apart.probability("a", "c")


def simulated(raters, rounds=400, seed=0):
    """raters: {name: (skill, position)}."""
    random = np.random.default_rng(seed)
    strength = {"a": 1.0, "b": 0.0, "c": -1.0}
    rows = []
    for name, (skill, place) in raters.items():
        for _ in range(rounds):
            first, second = random.choice(list(strength), 2, replace=False)
            chance = 1 / (1 + math.exp(-(skill * (strength[first] - strength[second]) + place)))
            rows.append((first, second, "first" if random.random() < chance else "second", name))
    return Comparisons.of(*zip(*rows, strict=True))


def test_position_and_skill_of_raters_are_found():
    data = simulated({"good": (1.5, 0.0), "lazy": (0.0, 0.0), "left": (1.0, 1.2), "contrary": (-1.0, 0.0)}, 1500)
    found = bradley_terry(data, position="rater", skill=True)
    assert found.position["left"][1] > 0.5
    assert abs(found.position["good"][0]) < 0.4
    # The common scale of strengths and skills is held by the prior alone, and each skill's interval carries that.
    assert found.skill["contrary"][0] < -0.25 < found.skill["lazy"][0] < 0.3 < found.skill["good"][0]
    assert found.strength[0] > found.strength[1] > found.strength[2]


def test_weights_leave_a_rater_out():
    data = simulated({"good": (1.0, 0.0), "contrary": (-1.0, 0.0)})
    alone = bradley_terry(simulated({"good": (1.0, 0.0)}))
    weighed = bradley_terry(data, weights={"contrary": 0.0})
    assert weighed.strength == pytest.approx(alone.strength, abs=1e-4)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz"), st.sampled_from(["first", "second", "tie"])),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(["half", "davidson"]),
    st.sampled_from(["none", "all", "rater"]),
    st.booleans(),
)
def test_steps_never_lower_the_objective_and_anything_fits(rows, ties, position, skill):
    found = bradley_terry(
        Comparisons.of(*zip(*rows, strict=True), ["r"] * len(rows)), ties=ties, position=position, skill=skill
    )
    assert np.isfinite(found.strength).all()
    assert (np.diff(found.trace) >= -1e-9).all()


def test_from_labels_and_wrong_words():
    labels = Labels.of("ppq", ["ann", "bob", "ann"], ["first", "tie", "second"])
    data = Comparisons.from_labels(labels, {"p": ("m1", "m2"), "q": ("m2", "m3")})
    assert (len(data), data.names, data.raters) == (3, ("m1", "m2", "m3"), ("ann", "bob"))
    with pytest.raises(NotLabels, match="not left"):
        Comparisons.of("a", "b", ["left"])
    with pytest.raises(NotLabels, match="with itself"):
        Comparisons.of("a", "a", ["tie"])
    with pytest.raises(NotLabels, match="no comparisons"):
        Comparisons.of([], [], [])
