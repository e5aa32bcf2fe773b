"""`tamis label aggregate` at its real face: what it prints, writes and refuses."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from tamis.commands.label_aggregate import aggregate

app = typer.Typer(pretty_exceptions_enable=False)
app.command("aggregate")(aggregate)
LABELS = "item,worker,label\na,1,x\na,2,x\na,3,y\nb,1,y\nb,2,y\nb,3,y\nc,1,x\nc,2,y\n"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "l.csv").write_text(LABELS)
    (tmp_path / "t.csv").write_text("item,truth\na,x\nb,y\nc,x\n")

    def call(*arguments: str, code: int = 0):
        replaced = [str(tmp_path / one[1:]) if one.startswith("@") else one for one in arguments]
        found = CliRunner().invoke(app, replaced)
        assert found.exit_code == code, found.output + repr(found.exception)
        return found

    return call


@pytest.mark.parametrize(
    "method",
    ["auto", "majority", "one-coin", "dawid-skene", "dawid-skene-pooled", "glad", "mace-em", "mace-vb", "soft"],
)
def test_json_is_the_contract(run, method):
    body = json.loads(run("@l.csv", "--method", method, "--json").stdout)
    assert [(row["example"], row["n"]) for row in body["labels"]] == [("a", 3), ("b", 3), ("c", 2)]
    assert all(set(row) == {"example", "label", "posterior", "n"} for row in body["labels"])
    assert [row["rater"] for row in body["raters"]] == ["1", "2", "3"]
    assert "log_likelihood" in body
    assert body["labels"][1]["label"] == "y"


def test_accuracy_counts_a_tie_as_its_chance(run):
    found = run("@l.csv", "-m", "majority", "--truth", "@t.csv")
    assert "1 tied" in found.stdout
    assert "0.8333 [" in found.stdout
    body = json.loads(run("@l.csv", "-m", "majority", "--truth", "@t.csv", "--json").stdout)
    assert body["accuracy"]["value"] == body["accuracy"]["majority"]["value"] == pytest.approx(2.5 / 3)


def test_answers_that_the_method_was_told_prove_nothing(run, tmp_path):
    found = run("@l.csv", "-m", "dawid-skene", "--truth", "@t.csv", "--controls", "@t.csv")
    assert "warning: 3 of the 3 answers of --truth are in --controls too" in found.stderr
    (tmp_path / "c.csv").write_text("item,truth\nb,y\n")
    (tmp_path / "rest.csv").write_text("item,truth\na,x\nc,x\n")
    found = run("@l.csv", "-m", "dawid-skene", "--truth", "@rest.csv", "--controls", "@c.csv")
    assert "warning" not in found.stderr


def test_ties_are_marked_and_numbers_in_their_order(run, tmp_path):
    names = [1, 2, 10, 11]
    (tmp_path / "n.csv").write_text(
        "item,worker,label\n" + "".join(f"{name},{w},{'xy'[w]}\n" for name in names for w in (0, 1)) + "3,0,x\n3,1,x\n"
    )
    lines = run("@n.csv", "-m", "majority").stdout.split("least sure", 1)[1].split("raters", 1)[0].splitlines()[1:]
    shown = [line.split() for line in lines if line]
    assert [line[0] for line in shown] == ["1", "2", "10", "11", "3"]
    assert [line[-1] == "tied" for line in shown] == [True] * 4 + [False]


def test_out_in_every_form(run, tmp_path):
    for name in ("o.parquet", "o.csv", "o.jsonl"):
        run("@l.csv", "-m", "majority", "--out", f"@{name}")
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.column_names == ["example", "label", "posterior", "n", "tied", "entropy", "p_x", "p_y"]
    assert [json.loads(line)["p_x"] for line in (tmp_path / "o.jsonl").read_text().splitlines()] == table[
        "p_x"
    ].to_pylist()
    assert (tmp_path / "o.csv").read_text().startswith('"example","label"')
    run("@l.csv", "-m", "majority", "--out", "@o.csv")
    run("@l.csv", "-m", "crowdlab", "--model", "@o.csv")
    body = json.loads(run("@l.csv", "-m", "majority", "--model", "@o.csv", "--json").stdout)
    assert [row["rater"] for row in body["raters"]] == ["1", "2", "3", "model"]


def test_controls_and_keep(run, tmp_path):
    (tmp_path / "c.csv").write_text("item,control\nc,x\n")
    body = json.loads(run("@l.csv", "-m", "dawid-skene", "--controls", "@c.csv", "--keep", "0.34", "--json").stdout)
    assert "c" in [row["example"] for row in body["labels"]]
    assert next(row for row in body["labels"] if row["example"] == "c")["posterior"] == 1


def test_ratings(run, tmp_path):
    (tmp_path / "r.csv").write_text("item,worker,label\na,1,1\na,2,2\na,3,9\n")
    body = json.loads(run("@r.csv", "-m", "median", "--json").stdout)
    assert body["labels"] == [{"example": "a", "label": 2.0, "posterior": None, "n": 3, "low": None, "high": None}]
    assert "too few" in run("@r.csv", "-m", "median").stdout
    run("@r.csv", "-m", "trimmed-mean", "--trim", "0.2")
    run("@l.csv", "-m", "median", code=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("@l.csv", "-m", "voodoo"), "there is no method voodoo: auto, majority"),
        (("@none.csv",), "no such file"),
        (("@l.csv", "--keep", "0"), "a share above 0"),
        (("@l.csv", "--out", "@o.xls"), "name it .parquet"),
        (("@l.csv", "-m", "crowdlab"), "give the model's probabilities"),
        (("@l.csv", "--smoothing", "1"), "belongs to --method soft"),
        (("@l.csv", "-m", "median", "--truth", "@t.csv"), "does not go with ratings"),
        (("@l.csv", "--truth", "@l.csv"), "two answers"),
        (("@bad.csv",), "Found: item, user, label"),
        (("@l.csv", "--truth", "@other.csv"), "knows none of the examples"),
    ],
)
def test_wrong_use_is_told(run, tmp_path, arguments, says):
    (tmp_path / "bad.csv").write_text("item,user,label\na,1,x\n")
    (tmp_path / "other.csv").write_text("item,truth\nzz,x\n")
    assert says in run(*arguments, code=2).output


def test_what_is_left_out_is_told(run, tmp_path):
    (tmp_path / "g.csv").write_text("item,worker,label,seconds\na,1,x,3\na,2,,4\n")
    found = run("@g.csv", "-m", "majority")
    assert "1 rows have no label" in found.output
    assert "not read: columns seconds" in found.output


def test_names_from_files_are_inert_on_a_terminal(run, tmp_path):
    (tmp_path / "x.csv").write_text("item,worker,label\n\x1b[31ma,\u202e1,x\n\x1b[31ma,2,x\n")
    assert "\x1b" not in run("@x.csv", "-m", "majority").output
    assert "\u202e" not in run("@x.csv", "-m", "majority").output


def test_the_reference_set_end_to_end(run, data_dir):
    folder = data_dir / "crowd/rte"
    body = json.loads(
        run(str(folder / "label.csv"), "-m", "mace-vb", "--json", "--truth", str(folder / "truth.csv")).stdout
    )
    assert body["log_likelihood"] == pytest.approx(-3923.87, abs=0.01)
    assert body["accuracy"]["value"] == pytest.approx(0.92625, abs=1e-5)
    assert body["accuracy"]["majority"]["value"] == pytest.approx(0.896875, abs=1e-5)


PAIRS = "left,right,annotator,choice\n" + "\n".join(
    [f"{a},{b},{who},{said}" for who in (1, 2, 3) for a, b, said in
     (("x", "y", "first"), ("y", "z", "y"), ("z", "x", "second"), ("x", "y", "tie"), ("z", "y", "z"), ("x", "z", "z"))]
)  # fmt: skip


def test_pairs_become_strengths(run, tmp_path):
    (tmp_path / "p.csv").write_text(PAIRS + "\nx,y,1,\n")
    body = json.loads(run("@p.csv", "-m", "bradley-terry", "--position", "all", "--json").stdout)
    assert [row["name"] for row in body["strengths"]] == ["x", "z", "y"]
    assert body["method"] == "bradley-terry"
    assert body["position"]["all"]["value"] > 0
    assert body["strengths"][0]["n"] == 12, "a row without a label is none"
    text = run("@p.csv", "-m", "bradley-terry", "--position", "all", "--out", "@s.csv").stdout
    assert "first place" in text
    assert "95 % interval" in text
    assert (tmp_path / "s.csv").read_text().splitlines()[1].startswith('"x",')
    davidson = json.loads(run("@p.csv", "-m", "bradley-terry", "--ties", "davidson", "--json").stdout)
    assert davidson["tie"] is not None
    (tmp_path / "p.csv").write_text(PAIRS + "\nx,y,1,w\n")
    assert "neither of the two" in run("@p.csv", "-m", "bradley-terry", code=2).stderr
    assert "two raters" not in run("@l.csv", "-m", "bradley-terry", code=2).stderr


def test_an_export_of_orders_is_compared_as_it_was_shown(run, tmp_path):
    from tamis.people import exchange

    rows = [
        exchange.Annotation(example="1", rater="ann", value=[["c"], ["a", "b"]], kind="preference",
                            options=("a", "b", "c"), shown=("b", "a", "c")),
        exchange.Annotation(example="1", rater="ann", value=[["a"], ["b"], ["c"]], kind="preference", repeat=1,
                            options=("a", "b", "c"), shown=("c", "a", "b")),
        exchange.Annotation(example="2", rater="bob", value="tie", kind="pairwise", question="two", options=("a", "b"),
                            shown=("b", "a")),
        exchange.Annotation(example="3", rater="bob", value="b", kind="pairwise", question="two", options=("a", "b"),
                            shown=("a", "b")),
    ]  # fmt: skip
    exchange.write(rows, [], format="annotations", path=tmp_path / "e.jsonl")
    assert "--question: label, two" in run("@e.jsonl", "-m", "bradley-terry", code=2).stderr
    body = json.loads(run("@e.jsonl", "-m", "bradley-terry", "--question", "label", "--json").stdout)
    assert {row["name"]: row["n"] for row in body["strengths"]} == {"a": 2, "b": 2, "c": 2}
    assert body["strengths"][0]["name"] == "c"
    body = json.loads(run("@e.jsonl", "-m", "bradley-terry", "--question", "two", "--json").stdout)
    assert [row["name"] for row in body["strengths"]] == ["b", "a"]


def test_answers_to_several_questions_are_not_mixed(run, tmp_path):
    lines = ["example,rater,label,question"]
    lines += [f"{e},{r},{label},{q}" for e in "ab" for r in "123" for q, label in (("one", "x"), ("two", "5"))]
    (tmp_path / "q.csv").write_text("\n".join(lines))
    assert "--question: one, two" in run("@q.csv", code=2).stderr
    assert "has no question 'three'" in run("@q.csv", "--question", "three", code=2).stderr
    body = json.loads(run("@q.csv", "-m", "majority", "--question", "two", "--json").stdout)
    assert [row["label"] for row in body["labels"]] == ["5", "5"]
    assert json.loads(run("@q.csv", "-m", "median", "--question", "two", "--json").stdout)["labels"][0]["label"] == 5
    assert "no column `question`" in run("@l.csv", "--question", "one", code=2).stderr


def test_slips_are_taken_out_where_repeats_show_them(run, tmp_path):
    assert "labelled an example twice" in run("@l.csv", "-m", "soft", "--deconvolve", code=1).stderr
    rows = [f"{e},{r},{'x' if (e + r) % 5 else 'y'}" for e in range(20) for r in range(4)]
    rows += [f"{e},0,{'x' if e % 10 else 'y'}" for e in range(20)]  # rater 0 again, differing twice
    (tmp_path / "r.csv").write_text("\n".join(["example,rater,label", *rows]))
    plain, clean = (json.loads(run("@r.csv", "-m", "soft", *more, "--json").stdout) for more in ((), ("--deconvolve",)))
    assert clean["flip_rate"]["differing"] == 2 / 20
    assert 0 < clean["flip_rate"]["value"] < 0.1
    assert "flip_rate" not in plain
    assert all(a["posterior"] < b["posterior"] for a, b in zip(plain["labels"], clean["labels"], strict=True))
    assert "belongs to --method soft" in run("@r.csv", "-m", "auto", "--deconvolve", code=2).stderr
    assert "bradley-terry" in run("@r.csv", "--ties", "half", code=2).stderr
