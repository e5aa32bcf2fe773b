"""The corpus without one rule: what comes back is what `what_if` counts, and its text is that of a rerun."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

import proof_work
from tamis import running
from tamis.corpora import Corpus
from tamis.documents import read_table
from tamis.proof.left_out import Whole, leave_out, returned, sources_hash
from tamis.recipe import load
from tamis.verdicts.what_if import what_if
from tamis.workspace import Workspace

RECIPE = """
name: main
sources: [{name: docs, path: docs.jsonl}]
rules:
  set:
    short: text.words >= 30
    even: text.words <= 1500
    menu: text.stop_words >= 2
tokens: null
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proof_work.make(tmp_path_factory.mktemp("left_out"), RECIPE)


@pytest.fixture(scope="module")
def whole(work: Path) -> Whole:
    return leave_out(Corpus(Workspace(work)))


def kept_ids(work: Path, name: str) -> set[str]:
    corpus = Corpus(Workspace(work), name)
    tables = [read_table(corpus.verdicts(shard), ["id", "keep"]) for shard in range(corpus.shards)]
    return set(pa.concat_tables([one.filter(one.column("keep")) for one in tables]).column("id").to_pylist())


def test_every_rule_that_drops_something_is_there_and_counts_as_what_if_does(whole: Whole) -> None:
    names = [one.rule for one in whole.rules]
    assert names == ["short", "even", "menu", "duplicate"]
    for one in whole.rules[:-1]:
        answer = what_if(whole.corpus, {one.rule: "off"})
        assert (len(one.back), len(one.gone)) == (answer.won, answer.lost)
        assert one.fails >= len(one.back) - answer.by_election
    assert sum(len(one.back) > 0 for one in whole.rules) >= 3


def test_a_rule_left_out_gives_the_documents_of_a_recipe_without_it(work: Path, whole: Whole) -> None:
    menu = next(one for one in whole.rules if one.rule == "menu")
    rules = [line for line in RECIPE.splitlines() if not line.strip().startswith("menu:")]
    other = "\n".join(rules).replace("name: main", "name: other")
    path = work.parent / "other.yaml"
    path.write_text(other, encoding="utf-8")
    running.run_recipe(load(path), work, running.make_engine("local", 1), label="other.yaml")
    found = {}
    for ids, texts, _ in returned(whole, [menu]):
        found |= dict(zip(ids.to_pylist(), texts.to_pylist(), strict=True))
    assert set(found) == kept_ids(work, "other") - kept_ids(work, "main")
    written = Corpus(Workspace(work), "other").work
    texts = {}
    for manifest in written.manifests("corpora/other/text"):
        table = read_table(written.file(manifest.files[0].path), ["id", "text"])
        texts |= dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert all(texts[one] == text for one, text in found.items())


def test_without_deduplication_every_lost_document_comes_back(work: Path, whole: Whole) -> None:
    duplicate = whole.rules[-1]
    lost = read_table(whole.corpus.duplicates(), ["gid"]).num_rows
    assert len(duplicate.back) == duplicate.fails == lost > 0
    assert len(duplicate.gone) == 0


def test_documents_of_several_rules_come_once(whole: Whole) -> None:
    places = [int(at) for _, _, at_all in returned(whole, whole.rules) for at in at_all]
    assert places == sorted(set(places))
    assert set(places) == {int(at) for one in whole.rules for at in one.back}


def test_the_hash_of_sources_changes_with_documents_and_edits() -> None:
    def corpus(**hashes: str) -> Any:
        def manifests(stage: str) -> list[Any]:
            return [SimpleNamespace(files=[SimpleNamespace(hash=hashes.get(stage.replace("/", "_"), "a"))])]

        return SimpleNamespace(
            edit_groups=lambda: ["pii"], last_edit_groups=list, work=SimpleNamespace(manifests=manifests)
        )

    found = {sources_hash(one) for one in (corpus(), corpus(documents="b"), corpus(edits_pii="b"))}
    assert len(found) == 3
    assert sources_hash(corpus()) == sources_hash(corpus())
