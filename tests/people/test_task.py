"""Tasks and answers: what is refused, where the message points, what becomes of an answer."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.people import task as tasks
from tamis.people.answers import BadAnswer, changes, span_f1
from tamis.people.task import LabelTask, TaskError

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
GOOD = """\
name: odd
kind: choice
labels: [yes, no, 3]
guideline: guide.md
examples:
  path: examples.jsonl
  show: [text]
overlap: 3
"""


def problems(text):
    with pytest.raises(TaskError) as error:
        tasks.parse(text, "odd.yaml")
    return error.value.problems


def test_a_small_task_is_enough():
    task = tasks.parse(GOOD)
    assert [label.name for label in task.labels] == ["yes", "no", "3"], "YAML's yes and 3 are names here"
    assert (task.paradigm, task.overlap, task.lease) == ("prescriptive", 3, 900)
    assert task.classes == ("yes", "no", "3")


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("kind:", "knd:"), 2, "unknown key `knd`; did you mean kind?"),
        (("choice", "choise"), 2, "`kind`: input should be 'choice'"),
        (("overlap: 3", "overlap: {target: 0.9}"), 8, "`overlap` needs `most`"),
        (("overlap: 3", "overlap: 0"), 8, "overlap is a number of raters from 1 to 1000"),
        (("overlap: 3", "overlap: three"), 8, "`overlap`: input should be a mapping, not 'three'"),
        (("overlap: 3", "overlap: {target: 0.9, most: 2, least: 3}"), 8, "`most` (2) is below `least` (3)"),
        (("  path: examples.jsonl\n", ""), 5, "`examples` needs `path`"),
        (("labels: [yes, no, 3]\n", ""), 1, "needs `labels`"),
        (("[yes, no, 3]", "[yes, yes]"), 1, "two labels are named yes"),
        (("choice", "rating"), 1, "has no `labels`"),
        (("overlap: 3", "gold: {path: g.jsonl, good: 0.5}"), 8, "`bad` (0.6) must be below `good` (0.5)"),
        (("overlap: 3", "pay: {piece: 1, currency: euro}"), 8, "pay.currency"),
        (("overlap: 3", "paradigm: descriptive\nqualification: {path: t.jsonl}"), 1, "no test may turn them away"),
        (("overlap: 3", "name: other"), 8, "`name` stands here twice"),
    ],
)
def test_mistakes_point_at_their_line(change, line, words):
    found = problems(GOOD.replace(*change))
    assert any(words in problem for problem in found), found
    assert any(problem.startswith(f"odd.yaml:{line}: ") for problem in found), found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "pairwise"}, "needs `examples.responses`"),
        ({"kind": "rubric"}, "a rubric needs some"),
        ({"kind": "text", "gold": {"path": "g.jsonl"}}, "free text has no gold answer"),
        ({"kind": "text", "overlap": {"target": 0.9, "most": 3}}, "adaptive overlap needs one choice"),
        ({"kind": "rating", "scale": {"from": 5, "to": 1}}, "a scale rises"),
        ({"kind": "rating", "scale": {"from": 1, "to": 3, "words": {4: "x"}}}, "not on the scale"),
        ({"kind": "choice", "labels": ["a", "b"], "scale": {}}, "only a rating has one"),
        ({"kind": "rating", "paradigm": "descriptive", "pay": {"piece": 1, "bonus": {"accuracy": 0.9, "share": 0.1}}},
         "scores nobody"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        LabelTask.model_validate({"name": "t", "guideline": "g.md", "examples": {"path": "e.jsonl"}, **settings})


@pytest.mark.parametrize("path", [EXAMPLES / "preference.yaml", EXAMPLES / "quality-rating.yaml"], ids=lambda p: p.stem)
def test_the_examples_load(path):
    task = tasks.load(path)
    assert Path(task.guideline).is_absolute()
    assert task.guideline_text.startswith("# ")
    rows = list(task.rows())
    assert len(rows) >= 12
    assert all(task.shown(row) for row in rows)


def test_the_schema_is_published_and_says_what_the_file_says():
    schema = tasks.schema()
    assert schema["title"] == "task"
    assert set(schema["required"]) == {"name", "kind", "guideline", "examples"}
    assert "from" in schema["$defs"]["Scale"]["properties"]


def make(**settings):
    body = {"name": "t", "guideline": "g.md", "examples": {"path": "e.jsonl"}, **settings}
    return LabelTask.model_validate(body)


def span(start, end, label="e"):
    return {"start": start, "end": end, "label": label}


PAIR = {"examples": {"path": "e.jsonl", "responses": ["a", "b"]}}
THREE = {"examples": {"path": "e.jsonl", "responses": "drafts"}}
ROW = {"id": "1", "text": "a small error here", "a": "A", "b": "B", "drafts": ["x", "y", "z"]}


@pytest.mark.parametrize(
    ("settings", "value", "wanted"),
    [
        ({"kind": "choice", "labels": ["x", "y"]}, "y", "y"),
        ({"kind": "multi", "labels": ["x", "y", "z"]}, ["z", "x", "x"], ["x", "z"]),
        ({"kind": "multi", "labels": ["x", "y"]}, [], []),
        ({"kind": "rating"}, "4", 4),
        ({"kind": "rating", "scale": {"from": -2, "to": 2}}, -2.0, -2),
        ({"kind": "pairwise", **PAIR}, "b", "b"),
        ({"kind": "pairwise", **PAIR}, "tie", "tie"),
        ({"kind": "preference", **THREE}, [["drafts.2"], ["drafts.3", "drafts.1"]],
         [["drafts.2"], ["drafts.1", "drafts.3"]]),
        ({"kind": "ranking", **THREE}, ["drafts.3", "drafts.1", "drafts.2"],
         [["drafts.3"], ["drafts.1"], ["drafts.2"]]),
        ({"kind": "span", "labels": ["e"]}, [span(8, 13), span(0, 1)], [span(0, 1), span(8, 13)]),
        ({"kind": "text"}, "a\r\nb", "a\nb"),
        ({"kind": "rewrite"}, "a big error here", {"text": "a big error here", "diff": [[2, 7, "big"]]}),
    ],
)  # fmt: skip
def test_answers_become_canonical_and_stay_so(settings, value, wanted):
    task = make(**settings)
    assert task.check(value, ROW) == wanted
    assert task.check(json.loads(json.dumps(wanted)), ROW) == wanted
    assert task.matches(wanted, wanted)


@pytest.mark.parametrize(
    ("settings", "value", "words"),
    [
        ({"kind": "choice", "labels": ["x", "y"]}, "z", "choose one of x, y"),
        ({"kind": "choice", "labels": ["x", "y"]}, ["x"], "choose one of"),
        ({"kind": "multi", "labels": ["x", "y"], "most": 1}, ["x", "y"], "at most 1"),
        ({"kind": "multi", "labels": ["x", "y"]}, "x", "give a list"),
        ({"kind": "rating"}, 6, "from 1 to 5"),
        ({"kind": "rating"}, True, "from 1 to 5"),
        ({"kind": "rating"}, 2.5, "from 1 to 5"),
        ({"kind": "pairwise", "ties": False, **PAIR}, "tie", "choose one of a, b"),
        ({"kind": "preference", **THREE}, [["drafts.1"]], "into the order once"),
        ({"kind": "ranking", **THREE}, [["drafts.1", "drafts.2"], ["drafts.3"]], "no two responses"),
        ({"kind": "span", "labels": ["e"]}, [{"start": 3, "end": 3, "label": "e"}], "start before its end"),
        ({"kind": "span", "labels": ["e"]}, [{"start": 0, "end": 99, "label": "e"}], "within the 18 characters"),
        ({"kind": "span", "labels": ["e"]}, [{"start": True, "end": 2, "label": "e"}], "start before its end"),
        ({"kind": "span", "labels": ["e"]}, [span(0, 4), span(2, 6)], "overlap"),
        ({"kind": "text", "least": 5}, "ab", "at least 5"),
        ({"kind": "text"}, "  \n", "empty"),
        ({"kind": "text"}, "a\0b", "cannot be stored"),
        ({"kind": "text"}, "a\ud800b", "cannot be stored"),
        ({"kind": "rubric", "questions": [{"name": "q", "kind": "rating"}]}, {}, "question q is not answered yet"),
        ({"kind": "rubric", "questions": [{"name": "q", "kind": "rating"}]}, {"q": 9}, "q: give a whole number"),
        ({"kind": "rubric", "questions": [{"name": "q", "kind": "rating"}]}, {"r": 1}, "no question named r"),
    ],
)  # fmt: skip
def test_bad_answers_are_refused_with_a_sentence(settings, value, words):
    with pytest.raises(BadAnswer, match=words):
        make(**settings).check(value, ROW)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
TASKS = [
    make(kind="choice", labels=["x", "y"]),
    make(kind="multi", labels=["x", "y"]),
    make(kind="rating"),
    make(kind="pairwise", **PAIR),
    make(kind="preference", **THREE),
    make(kind="ranking", **THREE),
    make(kind="span", labels=["e"]),
    make(kind="text"),
    make(kind="rewrite"),
    make(kind="rubric", questions=[{"name": "q", "kind": "rating"}, {"name": "t", "kind": "text", "optional": True}]),
]


@given(st.sampled_from(TASKS), ANY)
def test_any_json_is_an_answer_or_a_sentence(task, value):
    try:
        found = task.check(value, ROW)
    except BadAnswer:
        return
    text = json.dumps(found, allow_nan=False)
    assert task.check(json.loads(text), ROW) == found


@given(st.text("ab \n.", max_size=40), st.text("ab \n.", max_size=40))
def test_a_diff_applied_gives_the_new_text(old, new):
    out, at = [], 0
    for start, end, replacement in changes(old, new):
        assert at <= start <= end
        out += [old[at:start], replacement]
        at = end
    assert "".join(out) + old[at:] == new


def test_a_rewrite_of_a_huge_text_is_one_replacement():
    words = " ".join(f"w{number}" for number in range(20_000))
    assert len(changes("head " + words, "head " + words.replace("w", "v"))) == 1


def test_spans_match_by_labelled_characters():
    assert span_f1([], []) == 1
    assert span_f1([span(0, 10)], []) == 0
    assert span_f1([span(0, 10)], [span(0, 10, "other")]) == 0
    assert span_f1([span(0, 10)], [span(0, 8)]) == pytest.approx(16 / 18)
    assert span_f1([span(0, 4), span(2, 8)], [span(0, 8)]) == 1, "what is covered twice counts once"


def test_ratings_match_within_the_tolerance():
    assert make(kind="rating", tolerance=1).matches(4, 5)
    assert not make(kind="rating").matches(4, 5)


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz", "e.jsonl.zst", "e.parquet"])
def test_examples_come_from_files_of_every_kind(tmp_path, name):
    rows = [{"id": number, "text": f"text {number}", "unseen": [1, 2]} for number in range(3)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(data))
    elif name.endswith(".zst"):
        import zstandard

        path.write_bytes(zstandard.compress(data))
    elif name.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(data)
    task = make(kind="rating", examples={"path": str(path), "show": ["text"], "most": 2})
    assert [(row["id"], task.shown(row)) for row in task.rows()] == [
        ("0", {"text": "text 0"}),
        ("1", {"text": "text 1"}),
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}', "e.jsonl:2: a second example is named '1'"),
        ('{"text": "a"}', "e.jsonl:1: it has no 'id'"),
        ('{"id": 1}', "`examples.show` names the field 'text', which .*e.jsonl:1 does not have; it has id"),
        ('{"id": 1, "text": "a"}\n{oops', "e.jsonl:2: not JSON"),
        ('{"id": 1, "text": "a"}\n{"id": 2}', "e.jsonl:2: it has no field 'text'"),
        ("[1]", "e.jsonl:1: an example is an object"),
        ("", "there are no examples"),
    ],
)
def test_examples_that_do_not_fit_are_named(tmp_path, lines, words):
    path = tmp_path / "e.jsonl"
    path.write_text(lines)
    with pytest.raises(TaskError, match=words):
        list(make(kind="rating", examples={"path": str(path), "show": ["text"]}).rows())


def test_a_value_is_said_once():
    [told] = problems(GOOD.replace("overlap: 3", "overlap: 0"))
    assert told.endswith("from 1 to 1000, not 0")
    assert told.count("not 0") == 1
    assert not any("Adaptive" in one for one in problems(GOOD.replace("overlap: 3", "overlap: three")))


def test_all_files_are_read_before_anything_is_made(tmp_path):
    (tmp_path / "e.jsonl").write_text('{"id": 1, "text": "a"}')
    (tmp_path / "g.jsonl").write_text('{"id": 2, "text": "b", "answer": 3}')
    (tmp_path / "guide.md").write_text("# Guideline")
    files = {"examples": {"path": str(tmp_path / "e.jsonl")}, "gold": {"path": str(tmp_path / "g.jsonl")}}
    task = make(kind="rating", guideline=str(tmp_path / "guide.md"), **files)
    task.check_files()
    (tmp_path / "g.jsonl").write_text('{"id": 2, "text": "b", "answer": 33}')
    with pytest.raises(TaskError, match=r"g\.jsonl:1"):
        task.check_files()


def test_every_response_comes_first_about_as_often():
    first = [
        tasks.display_order(17, f"r-{rater}", f"e-{number}", ["a", "b"])[0]
        for rater in range(20)
        for number in range(50)
    ]
    assert 440 < first.count("a") < 560
    assert tasks.display_order(17, "r", "e", ["a", "b", "c"]) == tasks.display_order(17, "r", "e", ["c", "b", "a"])
