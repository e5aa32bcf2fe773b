"""Folders of signals with settings go when no corpus refers to them, and only then."""

import json

import pytest

from tamis.collecting import collect
from tamis.corpora import Corpus
from tamis.doctor import examine
from tamis.engine import Inline
from tamis.pipeline import Pipeline
from tamis.recipe import parse, rooted
from tamis.workspace import Progress, Workspace

RECIPE = """\
name: {name}
sources: [{{name: notes, path: notes.jsonl}}]
signals: {{words: {{listed: {{path: {words}}}}}}}
clean: {{pii: {{mask: [{mask}]}}}}
dedup: {{exact: false, minhash: null}}
tokens: null
"""


class Lines(Progress):
    def __init__(self):
        self.said = []

    def say(self, line):
        self.said.append(line)


@pytest.fixture
def run(tmp_path):
    rows = [{"text": f"Note {n}: write to n{n}@example.org about a storm and the sea."} for n in range(4)]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "one.txt").write_text("storm\n")
    (tmp_path / "two.txt").write_text("sea\n")
    work = Workspace(tmp_path / "w", create=True)

    def call(name="main", words="one.txt", mask="email"):
        lines = Lines()
        recipe = rooted(parse(RECIPE.format(name=name, words=words, mask=mask)), tmp_path)
        Pipeline(recipe, work, Inline(), lines).run()
        return work, [line for line in lines.said if "no corpus refers" in line]

    return call


def folders(work):
    return sorted(path.name for part in ("signals", "edits") for path in work.file(part).glob("*@*"))


def test_what_another_setting_made_goes_when_the_run_ends(run):
    work, said = run()
    first = folders(work)
    assert said == []
    assert len(first) == 2
    _, said = run(words="two.txt", mask="ip")
    second = folders(work)
    assert len(second) == 2
    assert not set(first) & set(second)
    assert sorted(line.split(",")[0].split("/")[1] for line in said) == first
    assert all("1 file, " in line for line in said)
    found = examine(work.path)
    assert (found["damaged"], found["orphans"]) == ([], [])
    assert Corpus(work, "main").signals("harm", 0) is not None


def test_what_another_corpus_refers_to_stays(run):
    work, _ = run()
    _, said = run(name="other", words="two.txt", mask="ip")
    assert said == []
    assert len(folders(work)) == 4
    work.drop_corpus("main")
    assert len(collect(work)) == 2
    assert len(folders(work)) == 2


def test_files_of_others_are_left(run):
    work, _ = run()
    (mine,) = work.file("signals").glob("*@*")
    (mine / "notes.md").write_text("mine")
    run(words="two.txt")
    assert [path.name for path in mine.iterdir()] == ["notes.md"]
