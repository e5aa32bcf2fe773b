import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.corpus import tokenizer as subject
from tamis.corpus.tokenizer import Tokenizer, TokenizerError, train
from tamis.documents import read_table

TRAIN = """
import hashlib, json, sys
from tamis.corpus.tokenizer import train
texts = json.load(open(sys.argv[1]))
print(hashlib.sha256(train(iter(texts), 1024)).hexdigest())
"""


def test_training_is_the_same_for_any_threads_and_order(rows: list[tuple[str, str]], tmp_path: Path) -> None:
    texts = [text for _, text in rows[::6]]
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(texts))
    seen = {hashlib.sha256(train(iter(texts), 1024)).hexdigest()}
    for threads in ("1", "4"):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, str(path)], env=environment, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout.strip())
    random.Random(1).shuffle(texts)
    seen.add(hashlib.sha256(train(iter(texts), 1024)).hexdigest())
    assert len(seen) == 1


def test_every_text_comes_back_byte_for_byte(rows: list[tuple[str, str]], trained: Path) -> None:
    tokenizer = Tokenizer.load(trained)
    texts = [text for _, text in rows]
    for text, ids in zip(texts, tokenizer.encode(texts), strict=True):
        assert tokenizer.decode(ids) == text


def test_names_of_special_tokens_in_a_text_are_plain_text(trained: Path) -> None:
    tokenizer = Tokenizer.load(trained)
    (ids,) = tokenizer.encode(["a <|endoftext|> b <|padding|>"])
    assert tokenizer.end_of_text == 0
    assert not {0, 1} & set(ids.tolist())


def test_long_texts_are_cut_where_it_changes_nothing(
    rows: list[tuple[str, str]], trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text for _, text in rows if len(text) > 400]
    whole = Tokenizer.load(trained).encode(texts)
    monkeypatch.setattr(subject, "_PIECE_CHARACTERS", 50)
    pieces = Tokenizer.load(trained).encode(texts)
    assert sum(len(subject._pieces(text)) for text in texts) > 10 * len(texts)
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_sixteen_bits_where_the_vocabulary_allows(trained: Path) -> None:
    small = Tokenizer.load(trained)
    assert (small.vocabulary, small.dtype) == (2048, "<u2")
    body = json.loads(trained.read_text())
    body["added_tokens"].append({**body["added_tokens"][0], "id": 70_000, "content": "<|far|>"})
    body["model"]["vocab"]["<|far|>"] = 70_000
    assert Tokenizer(json.dumps(body).encode()).dtype == "<u4"


def test_foreign_files(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="not a file of the `tokenizers` library"):
        Tokenizer(b"{}", name="x.json")
    with pytest.raises(TokenizerError, match="no end-of-text token"):
        Tokenizer.load(trained, end_of_text="<|nowhere|>")
    named = Tokenizer.load(trained, end_of_text="<|padding|>")
    assert named.end_of_text == 1
    with pytest.raises(FileNotFoundError):
        Tokenizer.load(tmp_path / "missing.json")


def test_a_template_of_a_loaded_tokenizer_adds_nothing(trained: Path) -> None:
    from tokenizers import Tokenizer as Inner
    from tokenizers.processors import TemplateProcessing

    inner = Inner.from_file(str(trained))
    inner.post_processor = TemplateProcessing(single="<|padding|> $A", special_tokens=[("<|padding|>", 1)])
    inner.enable_truncation(4)
    plain, templated = Tokenizer.load(trained), Tokenizer(inner.to_str().encode())
    text = "one two three four five six seven eight nine ten"
    assert np.array_equal(plain.encode([text])[0], templated.encode([text])[0])


def test_the_sample_is_the_same_however_the_shards_are_cut(
    rows: list[tuple[str, str]], tmp_path: Path, write_kept: Any, context: Any
) -> None:
    taken = []
    for cut in (1, 5):
        texts: list[str] = []
        for path in write_kept(rows, tmp_path / str(cut), cut):
            out = tmp_path / f"sample-{cut}-{path.name}"
            told = subject.sample_task(context, {"share": 0.3, "seed": 5}, [path], [out])
            assert told["in"] == told["out"] + told["reasons"]["not sampled"]
            texts += read_table(out).column("text").to_pylist()
        taken.append(texts)
    assert taken[0] == taken[1]
    assert 0.2 * len(rows) < len(taken[0]) < 0.4 * len(rows)


def test_training_needs_text_and_room(tmp_path: Path, context: Any) -> None:
    with pytest.raises(TokenizerError, match="no room"):
        train(iter(["text"]), 200)
    with pytest.raises(TokenizerError, match="no document was kept"):
        subject.train_task(context, {"vocab": 512}, [], [tmp_path / "t.json"])
