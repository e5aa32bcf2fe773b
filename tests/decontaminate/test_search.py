"""What is found of planted items, and what is not taken for one."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_items import BRACKETS, LAW, RIVER, SHIP, SHORT, TEMPLATE, TINY
from tamis.decontaminate import search

BEFORE = "These are the notes of a long day by the water, written down in no order that anybody would care about. "
BEHIND = " And then it rained, as it does here, until the evening came and we went home over the wet meadows."


def best(made, text):
    hits = search.search_texts(made, [BEFORE + text + BEHIND])[0]
    return (made.names[hits[0].item][0], round(hits[0].score, 2), hits[0].answer) if hits else None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (RIVER, ("rivers/1", 1.0, False)),
        (RIVER.upper().replace(",", " --"), ("rivers/1", 1.0, False)),
        (f"{RIVER} Thirty crossings.", ("rivers/1", 1.0, True)),
        (LAW, ("law/1", 1.0, False)),
        (LAW.replace("，", " "), ("law/1", 1.0, False)),
        (TEMPLATE, None),
        (TINY, None),
        (BRACKETS, None),
        ("Nothing of the kind stands here.", None),
    ],
)
def test_whole_items_are_found_and_templates_are_not(made, text, found):
    assert best(made, text) == found


def test_a_part_scores_as_much_as_it_is_and_the_answer_raises_it(made):
    words = RIVER.split()
    half = " ".join(words[: len(words) // 2])
    name, score, answer = best(made, half)
    assert (name, answer) == ("rivers/1", False)
    assert 0.4 < score < 0.6
    raised = best(made, half + " ... thirty crossings")
    assert raised[1] == pytest.approx(score + (1 - score) / 2, abs=0.01)
    assert raised[2]
    assert best(made, "the other " * 80 + "thirty crossings") is None


def test_words_put_in_cost_little(made):
    words = SHIP.split()
    changed = " ".join([*words[:16], "really", *words[16:]])
    name, score, _ = best(made, changed)
    assert name == "rivers/2"
    assert score > 0.95


def test_short_items_need_their_answer(made):
    assert best(made, SHORT)[:2] == ("rivers/3", round(8 / 13, 2))
    assert best(made, SHORT + " Seventeen.") == ("rivers/3", round((1 + 8 / 13) / 2, 2), True)
    assert best(made, SHORT.replace("spokes", "rays")) is None


def test_a_seed_far_away_adds_nothing(made):
    words = RIVER.split()
    apart = " ".join(words[:15]) + " filler words" * 400 + " " + " ".join(words[15:])
    name, score, _ = best(made, apart)
    assert name == "rivers/1"
    assert score < 0.6


def test_hits_name_the_place(made):
    text = BEFORE + RIVER + BEHIND
    hit = search.search_texts(made, [text])[0][0]
    normal = search.normals(made, pa.array([text], pa.large_string()))[0]
    starts, ends = search.word_spans(text, normal)
    assert text[starts[hit.first] : ends[hit.last]] == RIVER.rstrip("?")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_every_word_of_the_normalized_text_is_found_again(text):
    array = pa.array([text], pa.large_string())
    normal = search.kernels.normalize(array, False, True)[0].as_py()
    starts, ends = search.word_spans(text, normal)
    words = normal.split(" ") if normal else []
    assert len(starts) == len(words)
    for word, start, end in zip(words, starts.tolist(), ends.tolist(), strict=True):
        again = search.kernels.normalize(pa.array([text[start:end]], pa.large_string()), False, True)[0].as_py()
        assert word in again.replace(" ", "") or again.replace(" ", "") in word
    offsets = search.byte_offsets(text)
    assert offsets[-1] == len(text.encode())


@given(st.lists(st.sampled_from([RIVER, SHIP, LAW, SHORT, TEMPLATE, "x", "。", "7"]), max_size=6), st.booleans())
def test_the_kernel_misses_nothing_that_the_search_would_find(made, parts, glued):
    text = ("" if glued else " ").join(parts)
    array = pa.array([text], pa.large_string())
    if search.search(made, search.normals(made, array)[0]):
        assert search.candidates(made, array).tolist() == [0]


def test_whitespace_words_find_the_same_in_a_language_with_spaces():
    from evaluation_items import rows
    from tamis.decontaminate import index, items

    spaced = index.make(items.distinct_items(rows(), "whitespace"), form="whitespace")
    assert best(spaced, RIVER) == ("rivers/1", 1.0, False)
    assert best(spaced, TEMPLATE) is None


QUESTION = "Nora sold kites to 48 of her aunts in June, and then half as many in July. How many kites in June and July?"
WORKED = "Nora sold 48/2 = 24 kites in July. Nora sold 48+24 = 72, which is how many kites in June and July."
OPTIONS = "Which way did the tired baker of Halsey go home? He went by the old bridge, or along the new canal path."


def one(text, answer, *texts):
    from tamis.decontaminate import index, items

    made = index.make(items.distinct_items([("s", [("1", text, answer)])]))
    return [search.search_texts(made, [f"{BEFORE}{given}{BEHIND}"])[0][0] for given in texts], made


def test_a_worked_answer_that_says_words_of_its_question_again_is_found():
    cut = QUESTION.removesuffix("How many kites in June and July?")
    given = (f"{QUESTION} {WORKED}", f"{cut} {WORKED}", f"{WORKED} {QUESTION}", QUESTION)
    (whole, shortened, before, alone), _ = one(QUESTION, WORKED, *given)
    assert (whole.answer, shortened.answer, before.answer, alone.answer) == (True, True, True, False)


def test_the_place_is_that_of_the_item_without_what_the_answer_says_again():
    text = f"{BEFORE}{QUESTION} {WORKED}{BEHIND}"
    ((hit,), made) = one(QUESTION, WORKED, f"{QUESTION} {WORKED}")
    starts, ends = search.word_spans(text, search.normals(made, pa.array([text], pa.large_string()))[0])
    assert text[starts[hit.first] : ends[hit.last]] == QUESTION.rstrip("?")


@pytest.mark.parametrize("answer", ["the new canal path", "He went by the old bridge, or along the new canal path."])
def test_an_answer_that_the_item_holds_counts_only_outside_its_copy(answer):
    (alone, behind, before), _ = one(OPTIONS, answer, OPTIONS, f"{OPTIONS} {answer}", f"{answer} {OPTIONS}")
    assert (alone.answer, behind.answer, before.answer) == (False, True, True)


def test_a_phrase_that_an_item_says_twice_belongs_to_its_copy_twice():
    geese = "the seven blue geese of Ilmen fly north again today, and then "
    text = f"Say it aloud in the morning air: {geese}{geese}stop."
    (alone, behind), _ = one(text, "seven blue geese of Ilmen", text, f"{text} The seven blue geese of Ilmen.")
    assert (alone.answer, behind.answer) == (False, True)


def test_answers_of_the_first_real_items_are_found(data_dir):
    import pyarrow.parquet as pq

    from tamis.decontaminate import index, items

    file = data_dir / "eval" / "evalsets.parquet"
    rows = pq.read_table(file, filters=[("set", "=", "gsm8k")]).slice(0, 300).to_pylist()
    made = index.make(items.distinct_items([("g", [(r["id"], r["text"], r["answer"]) for r in rows])]))
    with_answer = [f"{BEFORE}{r['text']}\n{r['answer']}{BEHIND}" for r in rows]
    without = [f"{BEFORE}{r['text']}{BEHIND}" for r in rows]
    assert all(hits[0].answer for hits in search.search_texts(made, with_answer))
    assert not any(hits[0].answer for hits in search.search_texts(made, without))
