"""The data card: what a corpus is made of, in Markdown, and the README of a Hugging Face `datasets` folder.

Names and text from outside are inert: no markup of theirs is live.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tamis.corpus.cells import percent, plural, size
from tamis.corpus.inert import markdown
from tamis.corpus.report import NOT_STORED
from tamis.corpus.report_data import ReportData


def render(data: ReportData) -> str:
    """card.md. The same data give the same bytes."""
    return "\n".join(_lines(data)) + "\n"


def readme(data: ReportData) -> str:
    """README.md of a corpus folder: `datasets.load_dataset(folder)` then reads text/*.parquet as the split train."""
    import yaml

    languages = [code for code, row in data.by("language").items() if row[1] and code != "und"]
    front = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "text/*.parquet"}]}],
        "language": sorted(languages),
        "pretty_name": data.name,
        "tags": ["tamis"],
        "task_categories": ["text-generation"],
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=True, allow_unicode=True)}---\n\n{render(data)}"


def _lines(data: ReportData) -> Iterable[str]:
    yield f"# {markdown(data.name)}"
    yield ""
    yield (
        f"{plural(data.kept, 'document')} ({size(data.kept_bytes)} of text) kept of {data.documents:,} "
        f"({percent(data.kept, data.documents)}), from {plural(data.records, 'record')}. "
        f"Recipe `{data.recipe_digest}`, seed {data.seed}."
    )
    yield ""
    yield "## Sources"
    yield ""
    kept = data.by("source")
    rows = []
    for source in data.sources:
        documents, stays, octets = kept.get(source.name, (0, 0, 0))
        rows.append([source.name, source.licence, source.records, documents, stays, size(octets)])
    yield from _table(["source", "licence", "records", "documents", "kept", "text"], rows)
    yield "## Languages"
    yield ""
    found = data.by("language").items()
    yield from _table(
        ["language", "documents", "kept", "text"], [[code, row[0], row[1], size(row[2])] for code, row in found]
    )
    yield "## What was dropped, and why"
    yield ""
    yield "The first reason of each document. `tamis why ID` shows every rule's value and limit."
    yield ""
    dropped = [[rule.name, rule.expression, rule.source, rule.first] for rule in data.rules if rule.first]
    yield from _table(["rule", "must hold", "source", "documents"], dropped)
    if data.losses:
        yield "Records that gave no document:"
        yield ""
        yield from _table(["reason", "records"], [[loss.reason, loss.count] for loss in data.losses])
    if data.tokens:
        yield "## Tokens"
        yield ""
        yield (
            f"{data.tokens.tokens:,} tokens ({data.tokens.dtype}, end-of-text marks included) of "
            f"{plural(data.tokens.documents, 'document')}; vocabulary {data.tokens.vocabulary:,}; "
            f"tokenizer SHA-256 `{data.tokens.tokenizer_sha256}`."
        )
        yield ""
        mixture = [
            [row["source"], row["weight"], f"{row['rate']:.3g}", row["tokens"], percent(row["share"], 1)]
            for row in data.mixture
        ]
        yield from _table(["source", "weight", "epochs", "tokens", "share"], mixture)
        shards = [[shard.file, shard.tokens, shard.documents, shard.sha256] for shard in data.tokens.shards]
        yield from _table(["shard", "tokens", "documents", "SHA-256"], shards)
    elif data.text:
        yield "## Text"
        yield ""
        yield f"{plural(data.text.documents, 'document')} in {plural(data.text.files, 'Parquet file')}; no tokens."
        yield ""
        mixture = [
            [row["source"], row["weight"], f"{row['rate']:.3g}", size(row["bytes"]), percent(row["share"], 1)]
            for row in data.mixture
        ]
        yield from _table(["source", "weight", "epochs", "text", "share"], mixture)
    yield "## Bill of materials"
    yield ""
    if not data.versions_of_run:
        yield NOT_STORED
        yield ""
    yield from _table(["package", "version"], [list(item) for item in data.versions.items()])
    yield from _table(
        ["stage", "files", "bytes", "hash"], [[row.stage, row.files, row.bytes, row.hash] for row in data.lineage]
    )
    yield "## Known limits"
    yield ""
    yield (
        "Texts belong to their authors; the licences above are what the recipe states, and nobody has checked each "
        "page. "
        "Languages are detected by a model and may be wrong, most of all in short texts. Rules come with the biases of "
        "their sources: a limit found on English pages drops other languages and genres at other rates."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterable[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' for _ in heads)} |"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"
    yield ""


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else markdown(value)
