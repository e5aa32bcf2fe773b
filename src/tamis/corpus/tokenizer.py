"""Training a byte-level BPE on a sample of the kept text, or loading any `tokenizers` file, and encoding with it.

Training: Sennrich et al. 2016 over bytes as in GPT-2 (Radford et al. 2019), by the `tokenizers` library. The same
sample gives the same file whatever the number of threads. Its memory grows with the sample (about 10 bytes a byte of
text in many languages), so the sample is bounded.

Encoding: web text is hostile, so the *names* of special tokens inside a document (`<|endoftext|>` in a tutorial) are
encoded as the plain text that they are; only Tamis writes the end-of-text token.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.corpus.order import below, draw, id_words
from tamis.corpus.schemas import SAMPLE
from tamis.documents import ParquetShard, read_batches

# Part of the stages' keys.
SAMPLE_VERSION = 1
TRAIN_VERSION = 1

SAMPLE_BYTES = 32 << 20
END_OF_TEXT = "<|endoftext|>"
PADDING = "<|padding|>"
# Ours first; then the names that published tokenizers use for the end of a text.
_ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<|end▁of▁sentence|>", "[SEP]")

# The library needs about 100 bytes for each byte of text that it encodes at once.
_ENCODE_BYTES = 1 << 20
_PIECE_CHARACTERS = 1 << 18
# Between a letter or digit and one of these, GPT-2's expression always begins a new word, so that encoding the two
# sides apart gives the same tokens.
_CUT = re.compile(r"(?<=[^\W_])(?=[\n ,.，。、！？])")


class TokenizerError(ValueError):
    """A tokenizer file cannot serve: unreadable, or without an end-of-text token."""


class Tokenizer:
    """A `tokenizers` tokenizer fixed for writing shards: no padding, no truncation, no added marks.

    sha256: of the file's bytes. vocabulary: number of ids (largest id + 1). dtype: of the ids in shards, "<u2" up to
    65,536 ids, else "<u4". end_of_text: the id that follows every document.
    """

    def __init__(self, data: bytes, end_of_text: str | None = None, name: str = "tokenizer.json") -> None:
        import tokenizers

        self.sha256 = hashlib.sha256(data).hexdigest()
        try:
            self._inner = tokenizers.Tokenizer.from_str(data.decode())
        except Exception as error:  # the library raises bare Exception for whatever it cannot parse
            raise TokenizerError(f"{name} is not a file of the `tokenizers` library: {error}") from error
        self._inner.no_padding()
        self._inner.no_truncation()
        self._inner.encode_special_tokens = True
        vocabulary: dict[str, int] = self._inner.get_vocab(with_added_tokens=True)
        self.vocabulary = max(vocabulary.values()) + 1
        self.dtype = "<u2" if self.vocabulary <= 1 << 16 else "<u4"
        found = [token for token in ((end_of_text,) if end_of_text else _ENDS) if token in vocabulary]
        if not found:
            wanted = end_of_text or ", ".join(_ENDS)
            raise TokenizerError(f"{name} has no end-of-text token ({wanted}): name it with `end_of_text`")
        self.end_of_text_name = found[0]
        self.end_of_text = vocabulary[found[0]]
        self._cuts = _may_cut(json.loads(data))

    @classmethod
    def load(cls, path: Path | str, end_of_text: str | None = None) -> Tokenizer:
        """Reads a tokenizers JSON file. Raises TokenizerError, or FileNotFoundError."""
        return cls(Path(path).read_bytes(), end_of_text, str(path))

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text, without any added token: N arrays of `dtype`. Deterministic, one thread."""
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a worker is one thread; the library reads this at each call
        parts: list[list[np.ndarray]] = [[] for _ in texts]
        for owners, pieces in self._batches(texts):
            for owner, encoding in zip(
                owners, self._inner.encode_batch_fast(pieces, add_special_tokens=False), strict=True
            ):
                parts[owner].append(np.array(encoding.ids, dtype=self.dtype))
        return [part[0] if len(part) == 1 else np.concatenate(part) for part in parts]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of some ids; special tokens appear by name."""
        return str(self._inner.decode([int(one) for one in ids], skip_special_tokens=False))

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
        owners: list[int] = []
        pieces: list[str] = []
        pending = 0
        for owner, text in enumerate(texts):
            for piece in _pieces(text) if self._cuts else [text]:
                owners.append(owner)
                pieces.append(piece)
                pending += len(piece)
                if pending >= _ENCODE_BYTES:
                    yield owners, pieces
                    owners, pieces, pending = [], [], 0
        if pieces:
            yield owners, pieces


def _may_cut(config: dict[str, Any]) -> bool:
    words = config.get("pre_tokenizer") or {}
    return (
        config.get("normalizer") is None
        and words.get("type") == "ByteLevel"
        and not words.get("add_prefix_space")
        and words.get("use_regex", True)
        and all(token.get("special") for token in config.get("added_tokens", ()))
    )


def _pieces(text: str) -> list[str]:
    pieces, start = [], 0
    while len(text) - start > _PIECE_CHARACTERS:
        found = _CUT.search(text, start + _PIECE_CHARACTERS)
        if found is None:
            break
        pieces.append(text[start : found.start()])
        start = found.start()
    pieces.append(text[start:])
    return pieces


def train(texts: Iterator[str], vocabulary: int) -> bytes:
    """A tokenizers JSON file of at most `vocabulary` ids: end-of-text and padding, 256 bytes, then merges.

    The file depends on the multiset of texts alone: counts are summed over all of them, ties go to the smaller pair.
    Raises TokenizerError where `vocabulary` has no room for a merge.
    """
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    specials = [END_OF_TEXT, PADDING]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocabulary <= len(alphabet) + len(specials):
        raise TokenizerError(f"a vocabulary of {vocabulary} has no room for merges: it must exceed 258")
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return (str(tokenizer.to_str(pretty=True)) + "\n").encode()


def sample_share(total_bytes: int, sample_bytes: int = SAMPLE_BYTES) -> float:
    """The share of documents, in [0, 1], whose text is about `sample_bytes` of `total_bytes`."""
    return min(1.0, sample_bytes / total_bytes) if total_bytes else 1.0


def sample_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: kept. outputs: texts of the sample. params: share in [0, 1], seed. Memory: one row group."""
    seen = 0
    with ParquetShard(outputs[0], SAMPLE) as shard:
        for batch in read_batches(inputs[0], ["id", "text"]):
            chosen = below(draw(id_words(batch.column("id")), params["seed"], "tokenizer"), params["share"])
            shard.write(batch.select(["text"]).filter(pa.array(chosen)))
            seen += batch.num_rows
            context.heartbeat(f"{inputs[0].name} row {seen}")
    return {"in": seen, "out": shard.rows, "reasons": {"not sampled": seen - shard.rows}}


def train_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: samples of all shards. outputs: tokenizer.json. params: vocab. Memory grows with the sample."""
    counts = {"documents": 0, "bytes": 0}

    def texts() -> Iterator[str]:
        for path in inputs:
            for batch in read_batches(path, ["text"]):
                context.heartbeat(f"sample {path.name} after {counts['documents']} documents")
                for text in batch.column("text").to_pylist():
                    counts["documents"] += 1
                    counts["bytes"] += len(text.encode())
                    yield text
        context.heartbeat("")  # merging may take long, and nothing of it can be charged to an item

    data = train(texts(), params["vocab"])
    if not counts["documents"]:
        raise TokenizerError("no document was kept: there is no text to train a tokenizer on")
    outputs[0].write_bytes(data)
    tokenizer = Tokenizer(data)
    return {
        "in": counts["documents"],
        "out": counts["documents"],
        "reasons": {},
        "bytes": counts["bytes"],
        "vocabulary": tokenizer.vocabulary,
        "sha256": tokenizer.sha256,
    }


def load_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: any tokenizers JSON. outputs: tokenizer.json, the same bytes, checked. params: end_of_text or null."""
    data = inputs[0].read_bytes()
    tokenizer = Tokenizer(data, params.get("end_of_text"), str(inputs[0]))
    outputs[0].write_bytes(data)
    return {"in": 1, "out": 1, "reasons": {}, "vocabulary": tokenizer.vocabulary, "sha256": tokenizer.sha256}
