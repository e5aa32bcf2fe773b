"""The last stages of a run, as switched on and off between runs of one workspace."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tamis import running
from tamis.corpora import Corpus
from tamis.corpus.build import Builder
from tamis.corpus.megatron import export_megatron
from tamis.engine import Inline
from tamis.recipe import Recipe
from tamis.workspace import Progress, Workspace, WorkspaceError

WORDS = tuple(re.findall(r"\w+", "the cat sat on a mat and saw that with have been of to be in river mountain"))
TOKENS = {"tokenizer": {"vocab": 600, "sample_bytes": 100_000}, "context": 64}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Runs a recipe of two small sources with some settings changed; gives the corpus folder."""
    for name, count in (("docs", 60), ("extra", 20)):
        texts = [
            " ".join(WORDS[(n * k + len(name)) % len(WORDS)] for k in range(1, 30)) + f" {n}" for n in range(count)
        ]
        lines = [json.dumps({"text": text, "url": f"https://example.org/{n}"}) for n, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(**changed: Any) -> Path:
        sources = [{"name": name, "path": str(tmp_path / f"{name}.jsonl")} for name in ("docs", "extra")]
        body = {"seed": 3, "sources": sources, "dedup": {"minhash": None}, "tokens": TOKENS, **changed}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
        running.run_recipe(running.load(tmp_path / "recipe.yaml"), tmp_path / "work", Inline(), label="recipe.yaml")
        return tmp_path / "work/corpora/main"

    return run


def text_rows(home: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((home / "text").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_text_without_tokens_is_the_text_with_them(run: Callable[..., Path]) -> None:
    epochs = {"epochs": {"extra": 2.5}}
    home = run(mixture=epochs)
    first, tokenised = text_rows(home), tree(home)
    home = run(mixture=epochs, tokens=None)
    second = text_rows(home)
    assert not (home / "tokens/index.json").exists()
    assert all(row.pop("n_tokens") > 0 for row in first)
    assert all(row.pop("n_tokens") is None for row in second)
    assert first == second
    assert "## Text" in (home / "card.md").read_text()
    assert "Parquet file" in (home / "report.html").read_text()
    assert (home / "README.md").exists()
    assert run(mixture=epochs, tokens=None) == home
    assert text_rows(home)[0]["n_tokens"] is None
    run(mixture=epochs)
    assert tree(home) == tokenised


@pytest.mark.parametrize("unit", ["documents", "bytes"])
def test_weights_of_text_without_tokens(run: Callable[..., Path], unit: str) -> None:
    home = run(mixture={"unit": unit, "weights": {"docs": 0.5, "extra": 0.5}}, tokens=None)
    size = {"docs": 0.0, "extra": 0.0}
    for row in text_rows(home):
        size[row["source"]] += 1 if unit == "documents" else len(row["text"].encode())
    assert 0.3 < size["docs"] / sum(size.values()) < 0.7
    assert size["extra"] > 0
    known = Corpus(Workspace(home.parent.parent)).known["mixture"]
    assert sum(row["share"] for row in known) == pytest.approx(1)


def test_tokens_cannot_be_counted_where_none_are_made() -> None:
    body: dict[str, Any] = {"sources": [{"name": "a", "path": "a.jsonl"}], "tokens": None}
    with pytest.raises(ValueError, match=r"set mixture\.unit to documents or bytes"):
        Recipe.model_validate({**body, "mixture": {"weights": {"a": 1}}})
    with pytest.raises(ValueError, match=r"mixture\.tokens is a number of tokens"):
        Recipe.model_validate({**body, "mixture": {"tokens": 5}})
    Recipe.model_validate({**body, "mixture": {"weights": {"a": 1}, "unit": "bytes"}})


def test_megatron_is_made_once_and_goes_when_it_is_off(run: Callable[..., Path], tmp_path: Path) -> None:
    home = run(tokens={**TOKENS, "megatron": True})
    export_megatron(home / "tokens", tmp_path / "out/main")
    made = {name: home / f"megatron/main.{name}" for name in ("bin", "idx")}
    for name, path in made.items():
        assert path.read_bytes() == (tmp_path / f"out/main.{name}").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["main.bin", "main.idx"]
    before = {name: path.stat().st_mtime_ns for name, path in made.items()}
    run(tokens={**TOKENS, "megatron": True})
    assert {name: path.stat().st_mtime_ns for name, path in made.items()} == before
    run()
    assert not any(path.exists() for path in made.values())


def test_what_is_withdrawn_is_gone_and_can_be_made_again(run: Callable[..., Path]) -> None:
    tokens = {**TOKENS, "megatron": True}
    home = run(tokens=tokens)
    before = tree(home)
    work = Workspace(home.parent.parent)
    corpus = Corpus(work)
    Builder(corpus.settings, work, Inline(), Progress()).withdraw()
    left = {name.split("/")[0] for name in tree(home)}
    assert left == {"rules", "verdicts", "duplicates.parquet"}
    assert not corpus.manifests("tokens")
    assert Corpus(work).known["mixture"] == []
    run(tokens=tokens)
    assert tree(home) == before


def test_a_file_that_no_manifest_names_is_not_read(run: Callable[..., Path]) -> None:
    home = run()
    work = Workspace(home.parent.parent)
    corpus = Corpus(work)
    assert corpus.duplicates().exists()
    (work.path / "_done/corpora/main/elect/all.json").unlink()
    with pytest.raises(WorkspaceError, match="not whole"):
        corpus.duplicates()
