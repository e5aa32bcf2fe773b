"""Arrow schemas of the files between verdicts and token shards."""

from __future__ import annotations

import pyarrow as pa

# What a corpus keeps of one shard, edits applied, in gid order.
# `bytes` is the length of the text in UTF-8: sampling and sizing read it instead of the text.
KEPT = pa.schema(
    [
        pa.field("gid", pa.uint64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("weight", pa.float32(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
    ]
)

# The tokens of the same rows.
# `ids`: little-endian uint16 or uint32 (the tokenizer's dtype), without the end-of-text token; n_tokens of them.
TOKENS = pa.schema(
    [
        pa.field("gid", pa.uint64(), nullable=False),
        pa.field("n_tokens", pa.int32(), nullable=False),
        pa.field("ids", pa.large_binary(), nullable=False),
    ]
)

# What a tokenizer is trained on.
SAMPLE = pa.schema([pa.field("text", pa.large_string(), nullable=False)])

# The final text in final order, beside the token shard of the same number.
# `copy` counts a document's repetitions from 0, so that `copy = 0` is the corpus without them.
TEXT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("gid", pa.uint64(), nullable=False),
        pa.field("copy", pa.int16(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("n_tokens", pa.int32(), nullable=False),
    ]
)
# The same of a corpus without tokens: n_tokens is null.
UNTOKENISED = TEXT.set(TEXT.get_field_index("n_tokens"), pa.field("n_tokens", pa.int32()))
SCATTERED = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        *TEXT,
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("ids", pa.large_binary(), nullable=False),
    ]
)
SCATTERED_TEXT = pa.schema(
    [field for field in SCATTERED if field.name not in ("n_tokens", "ids")],
)
