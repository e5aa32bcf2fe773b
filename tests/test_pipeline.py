"""The main job end to end on a small crawl: same bytes for any number of workers, after kills, and nothing redone."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from command_line import process, tamis
from tamis.corpora import Corpus
from tamis.documents import read_table
from tamis.engine import Inline
from tamis.pipeline import Pipeline
from tamis.running import load
from tamis.sources.machine import machine_crawl
from tamis.workspace import Workspace

# Moments are drawn from 0.6 s to 3.5 s, so 8 reach from the first stage to the last.
KILLS = 8

RECIPE = """\
name: main
sources:
  - name: machine
    path: crawl/*.warc.gz
split_bytes: 65536
rules:
  use: [gopher@paper, c4@jmlr]
  set:
    short: text.script_words >= {short}
    c4_lines: off
tokens:
  tokenizer: {{vocab: 600}}
  context: 128
  shard_bytes: 65536
"""


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    """A folder with a crawl of 150 pages and two recipes beside it."""
    folder = tmp_path_factory.mktemp("crawl")
    machine_crawl(folder / "crawl" / "machine.warc.gz", pages={"python": 150})
    for short in (50, 60):
        text = RECIPE.format(short=short).replace("    c4_lines: off\n", "")
        (folder / f"short{short}.yaml").write_text(text)
    return folder


def command(*arguments):
    return [sys.executable, "-m", "tamis", *map(str, arguments)]


def tree(folder):
    """Hash of every file that a run leaves, by name; the lock is none of its results."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def finished(crawl):
    process("run", crawl / "short50.yaml", "--work", crawl / "one", "--workers", 1)
    return crawl / "one"


def test_the_ledger_adds_up_at_every_stage(finished):
    corpus = Corpus(Workspace(finished))
    documents = sum(m.summary["out"] for m in corpus.work.manifests("documents"))
    assert documents == 150
    verdicts = corpus.manifests("verdicts")
    assert sum(m.summary["in"] for m in verdicts) == documents
    kept = sum(m.summary["out"] for m in verdicts)
    assert 0 < kept < documents
    # counts come from the outputs
    rows = [read_table(corpus.verdicts(shard)) for shard in range(corpus.shards)]
    assert sum(sum(table.column("keep").to_pylist()) for table in rows) == kept
    index = json.loads((finished / "corpora/main/tokens/index.json").read_text())
    assert index["documents"] == kept
    assert (
        sum((finished / f"corpora/main/tokens/{s['file']}").stat().st_size for s in index["shards"])
        == 2 * index["tokens"]
    )


def test_two_workers_give_the_same_bytes(crawl, finished):
    tamis("run", crawl / "short50.yaml", "--work", crawl / "two", "--workers", 2)
    assert tree(crawl / "two") == tree(finished)


def test_a_threshold_reruns_the_verdicts_only(crawl, finished):
    work = crawl / "threshold"
    tamis("run", crawl / "short50.yaml", "--work", work, "--workers", 2)
    before = {str(p): p.stat().st_mtime_ns for p in work.rglob("*") if p.is_file()}
    again = tamis("run", crawl / "short50.yaml", "--work", work).stderr
    assert again.count("reused") >= 10
    tamis("run", crawl / "short60.yaml", "--work", work)
    touched = {
        str(p.relative_to(work)).split("/")[0]
        for p in work.rglob("*")
        if p.is_file() and before.get(str(p)) != p.stat().st_mtime_ns
    }
    assert touched <= {"corpora", "_done", "tamis.json", ".lock"}
    redone = {
        str(p.parent.relative_to(work / "_done")).split("/")[0]
        for p in (work / "_done").rglob("*.json")
        if before.get(str(p)) != p.stat().st_mtime_ns
    }
    assert redone == {"corpora"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kills_at_seeded_moments_and_resume_give_the_same_bytes(crawl, finished):
    work = crawl / "killed"
    moments = random.Random(20)
    kills = 0
    deadline = time.monotonic() + 900
    while kills < KILLS and time.monotonic() < deadline:
        process = subprocess.Popen(
            command("run", crawl / "short50.yaml", "--work", work, "--workers", 2),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=moments.uniform(0.6, 3.5))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            if moments.random() < 0.3 and (work / "documents").exists():
                # what a crash between two renames may leave behind
                (work / "documents" / ".00000.parquet.0123abcd.part").write_bytes(b"half")
        else:
            assert process.returncode == 0
            # it got through: take some of it away, so that the next kills have something to interrupt
            for path in sorted((work / "_done").rglob("*.json")):
                if moments.random() < 0.5:
                    path.unlink()
    assert kills == KILLS
    tamis("run", crawl / "short50.yaml", "--work", work, "--workers", 2)
    assert tree(work) == tree(finished)


def test_other_sources_in_the_same_workspace_are_refused(crawl, finished):
    other = crawl / "other.yaml"
    other.write_text(
        (crawl / "short50.yaml").read_text().replace("name: main", "name: other").replace("65536", "80000", 1)
    )
    done = tamis("run", other, "--work", finished, code=2)
    assert "was made with another" in done.stderr
    assert "another --work" in done.stderr


def test_verdicts_of_other_rules_are_never_shown_as_those_of_these(crawl, finished, monkeypatch):
    work = crawl / "early"
    shutil.copytree(finished, work)
    pipeline = Pipeline(load(crawl / "short60.yaml"), Workspace(work), Inline())

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "decide", dies)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    assert "not whole" in tamis("rules", "--work", work, code=2).stderr
    assert "not whole" in tamis("what-if", "short=off", "--work", work, code=2).stderr
    tamis("run", crawl / "short50.yaml", "--work", work)
    assert (work / "corpora/main/duplicates.parquet").read_bytes() == (
        finished / "corpora/main/duplicates.parquet"
    ).read_bytes()


def test_a_corpus_that_is_tokenised_no_more_shows_no_tokens(crawl, finished):
    work = crawl / "untokenised"
    shutil.copytree(finished, work)
    path = crawl / "untokenised.yaml"
    path.write_text((crawl / "short50.yaml").read_text().split("tokens:")[0] + "tokens: null\n")
    assert json.loads(tamis("run", path, "--work", work, "--json").stdout)["tokens"] is None
    assert not (work / "corpora/main/tokens/index.json").exists()
    assert "## Tokens" not in (work / "corpora/main/card.md").read_text()


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("clean: {boilerplate: false}", "clean.boilerplate"),
        ("signals: {blocklists: {bad: bad.txt}}", "signals.blocklists"),
        ("dedup: {minhash: {bands: 4}}", "dedup.minhash"),
    ],
)
def test_a_recipe_that_would_replace_what_another_corpus_stands_on_is_refused(crawl, finished, setting, name):
    (crawl / "bad.txt").write_text("bad.example\n")
    other = crawl / "shared.yaml"
    other.write_text((crawl / "short50.yaml").read_text().replace("name: main", f"name: shared\n{setting}", 1))
    before = tree(finished)
    done = tamis("run", other, "--work", finished, code=2)
    assert f"was made with another {name}" in done.stderr
    assert tree(finished) == before


def test_a_corpus_without_deduplication_sees_no_edges_of_another(crawl, finished):
    work = crawl / "undeduplicated"
    shutil.copytree(finished, work)
    for name, setting in (("all", "exact: false, minhash: null"), ("near", "jaccard: 0.7")):
        path = crawl / f"{name}.yaml"
        text = (crawl / "short50.yaml").read_text().split("tokens:")[0].replace("name: main", f"name: {name}", 1)
        path.write_text(f"{text}tokens: null\ndedup: {{{setting}}}\n")
        tamis("run", path, "--work", work)
    assert Corpus(Workspace(work), "near").edges()
    assert Corpus(Workspace(work), "all").edges() == []
    answer = json.loads(tamis("what-if", "short=off", "--work", work, "-c", "all", "--json").stdout)
    assert answer["by_election"] == 0


def test_check_says_what_is_wrong_and_where(crawl, tmp_path):
    found = tamis("check", crawl / "short50.yaml", "--json").stdout
    assert json.loads(found)["sources"][0]["name"] == "machine"
    bad = crawl / "bad.yaml"
    bad.write_text((crawl / "short50.yaml").read_text().replace("text.script_words", "text.script_word"))
    done = tamis("check", bad, code=2)
    line = bad.read_text().split("\n").index("    short: text.script_word >= 50") + 1
    assert f"bad.yaml:{line}: " in done.stderr
    assert "did you mean text.script_words?" in done.stderr


def test_why_and_what_if_answer_from_the_workspace(finished):
    corpus = Corpus(Workspace(finished))
    table = read_table(corpus.verdicts(0), ["id", "reason"])
    pairs = zip(*(table.column(name).to_pylist() for name in ("id", "reason")), strict=True)
    identity, reason = next(pair for pair in pairs if pair[1] in corpus.rules.names)
    receipt = tamis("why", identity[:16], "--work", finished).stdout
    assert receipt.startswith(f"DROPPED by {reason}") or reason in receipt.splitlines()[0]
    answer = json.loads(tamis("what-if", f"{reason}=off", "--work", finished, "--json").stdout)
    assert answer["kept_after"] >= answer["kept_before"]
    assert "no document" in tamis("why", "ffffffffffffffffffffffffffffffff", "--work", finished, code=1).stderr


def test_an_absurd_removal_stops_the_run_and_shows_the_clusters(tmp_path):
    draw = random.Random(3)
    words = [f"{a}{b}" for a in ("stone", "river", "cloud", "field") for b in "abcdefghijklm"]
    page = " ".join(draw.choices(words, k=200))
    rows = [{"text": page, "url": f"http://mirror.org/{number}"} for number in range(190)]
    rows += [{"text": " ".join(draw.choices(words, k=200)), "url": f"http://own.org/{n}"} for n in range(10)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "rows.yaml"
    recipe.write_text("sources: [{name: rows, path: rows.jsonl}]\ntokens: {tokenizer: {vocab: 512}}\n")
    stopped = tamis("run", recipe, "--work", tmp_path / "work", "--workers", 1, code=1).stderr
    assert "source rows loses 189 of 200 documents" in stopped
    assert "http://mirror.org/0" in stopped
    assert not (tmp_path / "work/corpora/main/text").exists()
    recipe.write_text(recipe.read_text() + "dedup: {guard: {max_removed: 1.0, max_cluster: 1.0}}\n")
    found = json.loads(tamis("run", recipe, "--work", tmp_path / "work", "--workers", 1, "--json").stdout)
    assert (found["kept"], found["reasons"]) == (11, {"duplicate": 189})
