"""One recipe from real pages in 35 languages to token shards."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tamis.corpora import Corpus
from tamis.corpus.shards import TokenShards
from tamis.documents import read_table
from tamis.workspace import Workspace

RECIPE = """\
sources:
  - {{name: debian, path: "{data}/web/debdocs-*.warc.gz", licence: per package}}
  - {{name: pages, path: "{data}/web/pages.warc.gz", licence: third-party}}
split_bytes: 8000000
rules:
  use: [gopher@paper, fineweb@v1]
  set: {{language: lang.score >= 0.5}}
tokens:
  tokenizer: {{vocab: 4096, sample_bytes: 2000000}}
"""


@pytest.mark.slow
def test_from_warc_to_token_shards(data_dir, tmp_path):
    recipe, work = tmp_path / "web.yaml", tmp_path / "web"
    recipe.write_text(RECIPE.format(data=data_dir))
    command = [sys.executable, "-m", "tamis", "run", str(recipe), "--work", str(work), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # 3 warcinfo and 549 request records are no pages; all else is a document, kept or with a reason
    assert (found["records"], found["documents"]) == (8_481, 7_929)
    assert found["losses"] == {"skipped.request": 549, "skipped.warcinfo": 3}
    assert found["kept"] + sum(found["reasons"].values()) == found["documents"]
    assert 2_500 < found["kept"] < 5_000

    corpus = Corpus(Workspace(work))
    languages = {row[1] for manifest in corpus.manifests("verdicts") for row in manifest.summary["counts"]}
    assert len(languages) >= 35
    kept_languages = {
        row[1] for manifest in corpus.manifests("verdicts") for row in manifest.summary["counts"] if row[2] is None
    }
    assert {"en", "zh", "ja", "ko", "ru", "ar", "hi", "de", "fr"} <= kept_languages

    # every duplicate lost to a document that is kept
    verdicts = [read_table(corpus.verdicts(shard)) for shard in range(corpus.shards)]
    keep = {gid for table in verdicts for gid, kept in zip(*map(_list(table), ("gid", "keep")), strict=True) if kept}
    lost = [gid for table in verdicts for gid in table.column("kept_gid").to_pylist() if gid is not None]
    assert len(lost) == found["reasons"]["duplicate"] > 100
    assert set(lost) <= keep

    shards = TokenShards(work / "corpora/main/tokens")
    shards.verify()
    index = json.loads((work / "corpora/main/tokens/index.json").read_text())
    assert index["documents"] == found["kept"]
    flat = np.memmap(work / "corpora/main/tokens" / index["shards"][0]["file"], dtype=index["dtype"], mode="r")
    assert int((flat == index["end_of_text"]).sum()) == index["shards"][0]["documents"]


def _list(table):
    return lambda name: table.column(name).to_pylist()
