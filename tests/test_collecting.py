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


def test_what_another_setting_made_goes_when_the_next_run_ends(run):
    work, said = run()
    first = folders(work)
    assert said == []
    assert len(first) == 2
    _, said = run(words="two.txt", mask="ip")
    assert said == []
    assert set(first) < set(folders(work))
    _, said = run(words="two.txt", mask="ip")
    second = folders(work)
    assert len(second) == 2
    assert not set(first) & set(second)
    assert sorted(line.split(",")[0].split("/")[1] for line in said) == first
    assert all("1 file, " in line for line in said)
    found = examine(work.path)
    assert (found["damaged"], found["orphans"]) == ([], [])
    assert Corpus(work, "main").signals("harm", 0) is not None


def test_going_back_to_the_former_setting_measures_nothing_again(run):
    work, _ = run()
    written = {path: path.stat().st_mtime_ns for path in work.file("signals").glob("*@*/*")}
    run(words="two.txt")
    run()
    assert written
    for path, when in written.items():
        assert path.stat().st_mtime_ns == when
    _, said = run()  # the other setting has had its run of grace
    assert len(said) == 1
    assert set(work.file("signals").glob("*@*/*")) == set(written)


def test_what_another_corpus_refers_to_stays(run):
    work, _ = run()
    for _ in range(3):
        _, said = run(name="other", words="two.txt", mask="ip")
        assert said == []
    assert len(folders(work)) == 4
    work.drop_corpus("main")
    assert collect(work) == []
    assert len(collect(work)) == 2
    assert len(folders(work)) == 2


def test_after_a_repair_nothing_goes_until_every_recipe_has_run(run):
    """The doctor says that running every recipe again measures nothing again."""
    work, _ = run()
    run(name="other", words="two.txt", mask="ip")
    run(name="third", words="one.txt", mask="ip")
    (work.path / "tamis.json").write_text("{")
    examine(work.path, repair=True)
    written = {path: path.stat().st_mtime_ns for part in ("signals", "edits") for path in work.file(part).glob("*@*/*")}
    assert len({path.parent for path in written}) == 4
    for name, words, mask in (("main", "one.txt", "email"), ("other", "two.txt", "ip"), ("third", "one.txt", "ip")):
        for _ in range(3):
            _, said = run(name=name, words=words, mask=mask)
            assert said == []
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_files_of_others_are_left(run):
    work, _ = run()
    (mine,) = work.file("signals").glob("*@*")
    (mine / "notes.md").write_text("mine")
    run(words="two.txt")
    run(words="two.txt")
    assert [path.name for path in mine.iterdir()] == ["notes.md"]
