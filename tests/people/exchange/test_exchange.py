from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.people import exchange
from tamis.people.exchange import FORMATS, Aggregated, Annotation, BadAnnotation, BadExchange
from tamis.people.exchange.training import must_fit
from tamis.people.labels import Labels

TEXT = st.text(max_size=90)
NAME = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
ORDERS = st.permutations(["a", "b", "c"]).map(lambda names: [[names[0]], list(names[1:])])
VALUES = {
    "choice": TEXT,
    "multi": st.lists(NAME, max_size=3, unique=True),
    "rating": st.integers(-5, 5) | st.floats(-5, 5),
    "pairwise": st.sampled_from(["a", "b", "tie"]),
    "preference": ORDERS,
    "ranking": st.permutations(["a", "b", "c"]).map(lambda names: [[name] for name in names]),
    "span": st.lists(
        st.fixed_dictionaries({"start": st.integers(0, 9), "end": st.integers(10, 20), "label": NAME}), max_size=2
    ),
    "text": TEXT,
    "rewrite": st.fixed_dictionaries({"text": TEXT, "diff": st.just([[0, 1, "x"]])}),
}  # fmt: skip
OPTIONS = {"pairwise": ("a", "b"), "preference": ("a", "b", "c"), "ranking": ("a", "b", "c")}


@st.composite
def annotations(draw: st.DrawFn) -> list[Annotation]:
    rows = []
    kinds = {question: draw(st.sampled_from(sorted(VALUES))) for question in ("q1", "q2")}
    for example in draw(st.lists(NAME, max_size=3, unique=True)):
        fields = draw(st.dictionaries(NAME | st.sampled_from(["label", "id"]), JSON, max_size=2))
        fields |= {"prompt": draw(TEXT), "a": draw(TEXT), "b": "the second response", "c": "c" * 80, "answer": "so"}
        for question in draw(st.lists(st.sampled_from(["q1", "q2"]), max_size=4)):
            kind = kinds[question]
            skipped = draw(st.booleans())
            rows.append(
                Annotation(
                    example=example,
                    rater=draw(NAME),
                    value=None if skipped else draw(VALUES[kind]),
                    kind=kind,  # type: ignore[arg-type]
                    question=question,
                    task=draw(NAME),
                    fields=fields if draw(st.integers(0, 5)) else {**fields, "extra": 1},
                    options=OPTIONS.get(kind, ()),
                    shown=OPTIONS.get(kind, ())[::-1],
                    of="a" if kind in ("span", "rewrite") else "",
                    seconds=draw(st.none() | st.floats(0, 1e6)),
                    at=draw(st.none() | st.just("2026-02-03T04:05:06Z")),
                    guideline_hash=draw(st.none() | st.just("9f3c")),
                    skipped=skipped,
                    reason=draw(st.none() | TEXT) if skipped else None,
                    submission=draw(st.none() | NAME),
                    role=draw(st.sampled_from(["rater", "adjudicator", "model"])),
                    gold=draw(st.booleans()),
                    repeat=draw(st.integers(0, 2)),
                    meta=draw(st.dictionaries(NAME, JSON, max_size=1)),
                )
            )
    return rows


@st.composite
def exchanged(draw: st.DrawFn) -> tuple[list[Annotation], list[Aggregated]]:
    rows = draw(annotations())
    said = []
    for example, question, kind in sorted({(a.example, a.question, a.kind) for a in rows}):
        if draw(st.booleans()):
            share = draw(st.none() | st.floats(0, 1))
            said.append(Aggregated(example, draw(VALUES[kind]), share, 3, question, method="mace"))
    return rows, said


@pytest.mark.parametrize("format_", FORMATS)
@given(both=exchanged(), parquet=st.booleans(), random=st.randoms(use_true_random=False))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_what_is_written_is_read(
    format_: str, both: tuple[list[Annotation], list[Aggregated]], parquet: bool, random: Any, tmp_path: Path
) -> None:
    rows, said = both
    foreign = format_ in ("label-studio", "argilla")
    path = tmp_path / ("labels.json" if foreign else "labels.parquet" if parquet else "labels.jsonl")
    exchange.write(rows, said, format=format_, path=path)
    first = path.read_bytes()
    found = exchange.read(path, format_)
    assert found.annotations == exchange.ordered(rows)
    assert found.aggregated == said
    random.shuffle(rows)
    exchange.write(rows, said[::-1], format=format_, path=path)
    assert path.read_bytes() == first


def pair(rater: str, value: str, **more: Any) -> Annotation:
    fields = {"instruction": "Say it shorter.", "input": "A long one.", "a": "Short.", "b": "A longer one."}
    return Annotation(
        example=more.pop("example", "e1"), rater=rater, value=value, kind="pairwise", options=("a", "b"), fields=fields,
        guideline_hash="9f3c", **more,
    )  # fmt: skip


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_gold_is_no_data_and_a_repeat_no_second_vote(tmp_path: Path) -> None:
    rows = [pair("r1", "a"), pair("r1", "b", repeat=1), pair("r2", "tie"), pair("r1", "a", example="g", gold=True)]
    done = exchange.write(rows, [], format="reward", path=tmp_path / "p.jsonl")
    assert (done.rows, done.reasons) == (1, {"a gold question": 1})
    (row,) = rows_of(tmp_path / "p.jsonl")
    assert (row["votes_chosen"], row["votes_rejected"], row["votes_tied"], row["n"]) == (1, 0, 1, 2)
    kept = exchange.read(tmp_path / "p.jsonl").annotations
    assert [a for a in kept if a.repeat] == rows[1:2], "what is not counted is not lost"


def test_preferences_are_pairs_with_their_support(tmp_path: Path) -> None:
    rows = [pair("r1", "a", seconds=4.0), pair("r2", "a", seconds=6.5), pair("r3", "tie", seconds=1.0)]
    rows += [pair("r1", "tie", example="e2"), pair("r2", "tie", example="e2")]
    for path in (tmp_path / "p.jsonl", tmp_path / "p.parquet"):
        done = exchange.write(
            rows, [Aggregated("e1", "a", 0.93, 3, method="bt")], format="reward", path=path, prompt="instruction,input"
        )
        assert (done.rows, done.unused, done.reasons) == (1, 1, {"a tie": 1})
        (row,) = rows_of(path)
        assert row["prompt"] == "Say it shorter.\n\nA long one."
        assert (row["chosen"], row["rejected"]) == ("Short.", "A longer one.")
        assert (row["posterior"], row["n"], row["raters"]) == (0.93, 3, ["r1", "r2", "r3"])
        assert (row["guideline_hash"], row["seconds"]) == (["9f3c"], 11.5)
        assert row["margin"] == pytest.approx(math.log(3 / 1))
        assert exchange.read(path).annotations == exchange.ordered(rows)


def test_an_adjudicator_overrules_the_votes(tmp_path: Path) -> None:
    rows = [pair("r1", "a"), pair("r2", "a"), pair("r3", "b")]
    final = Aggregated("e1", "b", None, 3, method="adjudication", by="judge-1", why="a misreads the question")
    exchange.write(rows, [final], format="preference", path=tmp_path / "p.jsonl", prompt="instruction")
    (row,) = rows_of(tmp_path / "p.jsonl")
    assert (row["chosen"], row["votes_chosen"], row["method"]) == ("A longer one.", 1, "adjudication")
    assert exchange.read(tmp_path / "p.jsonl").aggregated == [final]


def test_an_order_of_four_is_pairs(tmp_path: Path) -> None:
    fields = {"prompt": "?"} | {name: name.upper() for name in "abcd"}
    orders = [[["b"], ["a", "c"], ["d"]], [["b"], ["a"], ["c"], ["d"]]]
    rows = [
        Annotation("e", f"r{n}", order, "preference", fields=fields, options=tuple("abcd"))
        for n, order in enumerate(orders)
    ]
    exchange.write(rows, format="preference", path=tmp_path / "p.jsonl")
    found = {(row["chosen"], row["rejected"]): row["votes_chosen"] for row in rows_of(tmp_path / "p.jsonl")}
    assert found == {
        ("B", "A"): 2, ("A", "C"): 1, ("A", "D"): 2, ("B", "C"): 2, ("B", "D"): 2, ("C", "D"): 2,
    }  # fmt: skip
    assert exchange.read(tmp_path / "p.jsonl").annotations == exchange.ordered(rows)


def test_demonstrations_and_classes(tmp_path: Path) -> None:
    written = [
        Annotation("e", "r1", "Paris.", "text", fields={"prompt": "The capital of France?"}),
        Annotation("e", "r2", None, "text", fields={"prompt": "The capital of France?"}, skipped=True, reason="unsure"),
        Annotation("f", "r1", {"text": "Good.", "diff": []}, "rewrite", fields={"draft": "gud"}, of="draft"),
    ]
    exchange.write(written, format="sft", path=tmp_path / "s.jsonl")
    found = [(row["prompt"], row["completion"], row["raters"]) for row in rows_of(tmp_path / "s.jsonl")]
    assert found == [("The capital of France?", "Paris.", ["r1"]), ("gud", "Good.", ["r1"])]
    done = exchange.write(written, format="classification", path=tmp_path / "c.jsonl")
    assert (done.rows, done.reasons) == (0, {"a text is no class": 1, "a rewrite is no class": 1})
    assert exchange.read(tmp_path / "c.jsonl").annotations == exchange.ordered(written)
    classes = [Annotation("e", r, v, fields={"text": "hi", "label": "own"}) for r, v in (("r1", "x"), ("r2", "x"))]
    exchange.write(classes, format="classification", path=tmp_path / "c.jsonl")
    (row,) = rows_of(tmp_path / "c.jsonl")
    assert (row["text"], row["field_label"], row["label"], row["n"]) == ("hi", "own", "x", 2)
    assert not (tmp_path / "c.unused.jsonl").exists()  # of the export before


def test_our_own_table_is_a_table_of_labels(tmp_path: Path) -> None:
    rows = [Annotation("e", r, v) for r, v in (("r1", "x"), ("r2", "y"))]
    for name in ("t.jsonl", "t.parquet"):
        exchange.write(rows, format="annotations", path=tmp_path / name)
        labels = Labels.read(tmp_path / name)
        assert sorted(labels) == [("e", "r1", "x"), ("e", "r2", "y")]


LABEL_STUDIO = [
    {
        "id": 7,
        "data": {"text": "Zoë 😀 lives in Köln"},
        "annotations": [
            {
                "id": 1001, "completed_by": {"id": 3, "email": "zoe@example.org"}, "lead_time": 4.288,
                "was_cancelled": False, "ground_truth": False, "created_at": "2021-03-09T22:16:08.728353Z",
                "result": [
                    {"from_name": "where", "to_name": "text", "type": "labels", "id": "a",
                     "value": {"start": 15, "end": 19, "text": "Köln", "labels": ["LOC"]}},
                    {"from_name": "tone", "to_name": "text", "type": "choices", "value": {"choices": ["calm"]}},
                    {"from_name": "topics", "to_name": "text", "type": "choices", "value": {"choices": ["a", "b"]}},
                    {"from_name": "stars", "to_name": "text", "type": "rating", "value": {"rating": 4}},
                    {"from_name": "better", "to_name": "t1,t2", "type": "pairwise", "value": {"selected": "right"}},
                    {"from_name": "note", "to_name": "text", "type": "textarea", "value": {"text": ["fine"]}},
                    {"from_name": "box", "to_name": "img", "type": "rectanglelabels", "value": {"x": 1}},
                ],
            },
            {"completed_by": 4, "was_cancelled": True, "result": []},
        ],
        "predictions": [{"model_version": "m", "score": 0.4, "result": []}],
    }
]  # fmt: skip


def test_label_studio_as_it_exports(tmp_path: Path) -> None:
    path = tmp_path / "ls.json"
    path.write_text(json.dumps(LABEL_STUDIO))
    found = exchange.read(path)
    values = {a.question: a.value for a in found.annotations if not a.skipped}
    assert values == {
        "where": [{"start": 15, "end": 19, "label": "LOC"}], "tone": "calm", "topics": ["a", "b"], "stars": 4,
        "better": "t2", "note": "fine",
    }  # fmt: skip
    first = next(a for a in found.annotations if a.question == "tone")
    assert (first.example, first.rater, first.seconds, first.at) == (
        "7",
        "user-3",
        4.288,
        "2021-03-09T22:16:08.728353Z",
    )
    assert "zoe@example.org" not in repr(found)
    assert first.fields["text"][15:19] == "Köln"  # code points
    assert [a.rater for a in found.annotations if a.skipped] == ["user-4"]
    assert any("rectanglelabels" in problem for problem in found.problems)
    assert any("predictions" in problem for problem in found.problems)


def test_label_studio_reads_what_is_its_own(tmp_path: Path) -> None:
    """What another tool would see without the key `tamis`."""
    rows = [pair("r1", "b", seconds=2.0), pair("r2", "tie"), Annotation("e3", "r1", None, skipped=True, reason="?")]
    exchange.write(rows, [Aggregated("e1", "b", 0.8, 2, method="bt")], format="label-studio", path=tmp_path / "ls.json")
    tasks = json.loads((tmp_path / "ls.json").read_text())
    assert tasks[0]["annotations"][0]["result"][0]["value"] == {"selected": "right"}
    assert tasks[0]["predictions"][0]["score"] == 0.8
    for task in tasks:
        for sheet in (task, *task["annotations"], *task.get("predictions", [])):
            del sheet["tamis"]
    (tmp_path / "ls.json").write_text(json.dumps(tasks))
    found = exchange.read(tmp_path / "ls.json")
    assert [(a.example, a.rater, a.kind, a.value, a.seconds, a.skipped) for a in found.annotations] == [
        ("e1", "user-1", "pairwise", "b", 2.0, False),
        ("e1", "user-2", "pairwise", "tie", None, False),
        ("e3", "user-1", "choice", None, None, True),
    ]


ARGILLA = [
    {
        "id": "r1", "fields": {"text": "hello"}, "metadata": {"length": 5}, "vectors": {}, "_server_id": None,
        "suggestions": {"label": {"value": "pos", "score": 0.7, "agent": "m"}},
        "responses": {
            "label": [{"value": value, "user_id": f"u{n}"} for n, value in enumerate(["pos", "neg", "pos"], 1)],
            "stars": [{"value": 4, "user_id": "u1"}],
            "rank": [{"value": ["b", "a"], "user_id": "u1"}, {"value": ["a", "b"], "user_id": "u2"}],
            "where": [{"value": [{"start": 0, "end": 5, "label": "X"}], "user_id": "u1"}],
            "note": [{"value": "a long answer\nin two lines", "user_id": "u1"}],
        },
    }
]  # fmt: skip


def test_argilla_as_it_exports(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    path.write_text(json.dumps(ARGILLA))
    found = exchange.read(path)
    kinds = {a.question: (a.kind, a.value) for a in found.annotations if a.rater == "u1"}
    assert kinds == {
        "label": ("choice", "pos"), "stars": ("rating", 4), "rank": ("ranking", [["b"], ["a"]]),
        "where": ("span", [{"start": 0, "end": 5, "label": "X"}]), "note": ("text", "a long answer\nin two lines"),
    }  # fmt: skip
    assert found.aggregated == [Aggregated("r1", "pos", 0.7, 0, "label", method="m")]
    assert any("question rank is taken for a ranking" in problem for problem in found.problems)
    assert exchange.read(path, kinds={"label": "text"}).annotations[0].kind == "text"
    with pytest.raises(BadExchange, match="no kind of question"):
        exchange.read(path, kinds={"label": "guess"})


def test_argilla_can_read_what_we_write(tmp_path: Path) -> None:
    rows = [Annotation("e1", "r1", 4, "rating", "stars", fields={"text": "t", "score": 3})]
    exchange.write(rows, format="argilla", path=tmp_path / "a.json")
    (record,) = json.loads((tmp_path / "a.json").read_text())
    assert set(record) - {"tamis"} == {"id", "fields", "metadata", "suggestions", "responses", "vectors", "_server_id"}
    assert record["fields"] == {"text": "t", "score": "3"}  # its fields are texts
    (response,) = record["responses"]["stars"]
    assert response["value"] == 4
    assert len(response["user_id"]) == 36


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("{", "x.json", "not JSON"),
        ('{"a": 1}', "x.json", "a list of tasks"),
        ('[{"x": 1}]', "x.json", "no `data`"),
        ('{"a": 1}\n{', "x.jsonl", "x.jsonl:2: not JSON"),
        ('{"a": 1}\n', "x.jsonl", "no column 'evidence'"),
        ('{"evidence": "{}"}\n', "x.jsonl", "the evidence cannot be read"),
        ('{"evidence": "{\\"annotations\\": [{\\"wrong\\": 1}]}"}\n', "x.jsonl", "no part named wrong"),
        ("PAR", "x.parquet", "not Parquet"),
    ],
)
def test_files_that_cannot_be_read_say_where(content: str, name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadExchange, match=message):
        exchange.read(tmp_path / name)


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    rows = [Annotation("e", "r", "x", fields={"one": "1", "two": "2"})]
    with pytest.raises(BadExchange, match="no format"):
        exchange.write(rows, format="csv", path=tmp_path / "x.csv")
    with pytest.raises(BadExchange, match=r"ends in \.json$"):
        exchange.write(rows, format="argilla", path=tmp_path / "x.jsonl")
    texts = [Annotation("e", "r", "x", "text", fields={"one": "1", "two": "2"})]
    with pytest.raises(BadExchange, match="which field is the prompt"):
        exchange.write(texts, format="sft", path=tmp_path / "x.jsonl")
    with pytest.raises(BadExchange, match="two aggregated labels"):
        exchange.write(rows, [Aggregated("e", "x"), Aggregated("e", "y")], format="sft", path=tmp_path / "x.jsonl")
    with pytest.raises(BadExchange, match="cannot be written as JSON"):
        exchange.write([Annotation("e", "r", "x", seconds=math.nan)], format="annotations", path=tmp_path / "x.jsonl")
    assert not list(tmp_path.iterdir())


def test_formats_that_cannot_fit_a_task_are_refused() -> None:
    with pytest.raises(BadExchange, match=r"this task asks choice: .* classification fits"):
        must_fit("sft", ["choice"])
    with pytest.raises(BadExchange, match="none fits; annotations"):
        must_fit("reward", ["span"])
    for format_, kinds in (("reward", ["rating"]), ("sft", ["choice", "text"]), ("annotations", ["span"])):
        must_fit(format_, kinds)


def test_what_is_no_annotation() -> None:
    for wrong in ({"rater": ""}, {"value": None}, {"skipped": True}, {"kind": "guess"}):
        with pytest.raises(BadAnnotation):
            Annotation(**{"example": "e", "rater": "r", "value": "x", **wrong})
