"""Reading evaluation sets: formats, conditions, answers, and mistakes that are named."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis import recipe as recipes
from tamis.asked import asked_by
from tamis.decontaminate import items
from tamis.yaml_models import RecipeError

SETTINGS = {"name": "s", "text": "question", "answer": "answer", "id": "id", "where": {}}
RECORDS = [
    {"id": "a", "question": "What is it?", "answer": "['43']", "split": "test"},
    {"id": "b", "question": "Where is it now?", "answer": 7.0, "split": "train"},
]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
def test_formats_give_the_same_rows(tmp_path, ending):
    file = tmp_path / f"items.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist([{**r, "answer": str(r["answer"])} for r in RECORDS]), file)
    else:
        text = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()
        file.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    (found,) = items.set_files("s", [str(tmp_path)])
    assert items.read_set(SETTINGS, [found], {}) == [("a", "What is it?", "43"), ("b", "Where is it now?", "7")]
    only = items.read_set({**SETTINGS, "where": {"split": "test"}}, [found], {})
    assert only == [("a", "What is it?", "43")]


@pytest.mark.parametrize(
    ("lines", "settings", "said"),
    [
        ('{"question": "x"}\nno json\n', {}, "line 2, is no JSON"),
        ("[1]\n", {}, "is no JSON object"),
        ('{"q": "x"}\n', {}, "no column 'question'"),
        ('{"question": 3}\n', {}, "is no string"),
        ('{"question": "x", "split": "dev"}\n', {"where": {"split": "test"}}, "no items with split = 'test'"),
        ('{"question": "x", "split": "dev"}\n', {"where": {"splt": "dev"}}, "no column 'splt'.*did you mean split"),
    ],
)
def test_mistakes_name_file_and_row(tmp_path, lines, settings, said):
    file = tmp_path / "items.jsonl"
    file.write_text(lines)
    with pytest.raises(items.BadSet, match=said):
        items.read_set({**SETTINGS, **settings}, [file], {})


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path):
    with pytest.raises(items.BadSet, match="no file, glob or folder"):
        items.set_files("s", [str(tmp_path / "none*.jsonl")])
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(items.BadSet, match="neither"):
        items.set_files("s", [str(tmp_path / "a.csv")])


def test_answers_that_say_nothing_are_left_out():
    answers = ["yes"] * 10 + ["b", "forty two", None, "17"] + [f"answer {n}" for n in range(30)]
    kept = items.telling(answers)
    assert kept[:10] == [None] * 10
    assert kept[10:14] == [None, "forty two", None, "17"]


def test_equal_items_are_one_with_both_names(table):
    names = table.column("names").to_pylist()
    assert ["rivers/1", "copies/9"] in names
    assert table.num_rows == 66
    assert max(table.column("variants").to_pylist()) == 8


def test_a_file_that_breaks_off_is_named_with_the_place(tmp_path):
    lines = [json.dumps({**RECORDS[0], "id": str(number)}) + "\n" for number in range(3)]
    packed = tmp_path / "cut.jsonl.gz"
    packed.write_bytes(gzip.compress("".join(lines).encode(), mtime=0)[:-12])
    with pytest.raises(items.BadSet, match=r"cut\.jsonl\.gz cannot be read behind line"):
        items.read_set(SETTINGS, [packed], {})
    other = tmp_path / "latin.jsonl"
    other.write_bytes(b'{"question": "caf\xe9"}\n')
    with pytest.raises(items.BadSet, match="cannot be read behind line 0: it is not UTF-8"):
        items.read_set(SETTINGS, [other], {})


MISTAKES = [
    ({"answer": "anser"}, {"answer"}, "no column 'anser' that `answer:` names; did you mean answer"),
    ({"id": "nr"}, {"id"}, "no column 'nr' that `id:` names"),
    ({"text": "questoin"}, {"text"}, "no column 'questoin'; did you mean question"),
    ({"where": {"splt": "test"}}, {"where"}, "no column 'splt' that `where` names; did you mean split"),
    ({"where": {"split": "dev"}}, {"where"}, "no items with split = 'dev'"),
    ({"where": {"split": "test", "id": "b"}}, {"where"}, "no items with split = 'test', id = 'b'"),
]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize(("settings", "named", "said"), MISTAKES)
def test_mistakes_are_found_before_a_run(tmp_path, ending, settings, named, said):
    file = tmp_path / f"items.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist([{**r, "answer": str(r["answer"])} for r in RECORDS]), file)
    else:
        file.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    with pytest.raises(items.BadSet, match=said):
        items.check_set({**SETTINGS, **settings}, [file], named)
    items.check_set(SETTINGS, [file], {"text", "answer", "id"})
    items.check_set({**SETTINGS, "where": {"split": "train"}}, [file], {"text", "where"})
    items.check_set({**SETTINGS, "answer": "none", "id": "none"}, [file], {"text"})  # names the recipe did not choose
    items.check_set({**SETTINGS, "answer": None}, [file], {"answer"})


def test_damaged_files_and_texts_of_another_type_are_found_before_a_run(tmp_path):
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.Table.from_pylist([{"question": 3}]), whole)
    with pytest.raises(items.BadSet, match="'question' is no string but int64"):
        items.check_set(SETTINGS, [whole], set())
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-9])
    with pytest.raises(items.BadSet, match=r"cut\.parquet cannot be read"):
        items.check_set(SETTINGS, [cut], set())
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"question": "x"}\n{"question": \n')
    with pytest.raises(items.BadSet, match="line 2, is no JSON"):
        items.check_set(SETTINGS, [lines], set())


RECIPE = "sources: [{{name: s, path: items.jsonl}}]\ndecontaminate: {{sets: [{sets}]}}\ntokens: null\n"


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ("{name: a, path: items.jsonl, text: question, answer: anser}", "no column 'anser'"),
        ("{name: a, path: items.jsonl, text: question, where: {split: dev}}", "no items with split"),
        (
            "{name: a, path: items.jsonl, text: question}, {name: a, path: items.jsonl, text: answer}",
            "two evaluation sets are named a",
        ),
    ],
)
def test_a_recipe_with_such_mistakes_is_refused_before_anything_is_read(tmp_path, sets, said):
    records = [{"question": "What is it?", "answer": "stone", "split": "test"}]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    recipe = recipes.rooted(recipes.parse(RECIPE.format(sets=sets)), tmp_path)
    with pytest.raises(RecipeError, match=said):
        asked_by(recipe)


def test_columns_that_the_recipe_does_not_name_may_be_absent(tmp_path):
    (tmp_path / "items.jsonl").write_text('{"text": "What is it?"}\n')
    recipe = recipes.rooted(recipes.parse(RECIPE.format(sets="{name: a, path: items.jsonl}")), tmp_path)
    assert [group.name for group in asked_by(recipe).groups] == ["eval"]
