"""The report of a corpus: one HTML file that needs no network, in light and dark, on screen and on paper.

Text of documents is inert: always escaped, hidden and reordering characters spelt out, no link is clickable, and a
content security policy lets nothing run but the one script of the page, named by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib import resources

from tamis.corpus.cells import bar, cell, number, percent, plural, short, size, table, width
from tamis.corpus.inert import escape
from tamis.corpus.plot import plot
from tamis.corpus.report_data import ClusterRow, ReportData, RuleRow, Sample, TextRow

NOT_STORED = "The versions of the run were not stored; these are of the Tamis that wrote this report."

SECTIONS = (
    ("funnel", "Funnel"),
    ("rules", "Why documents were dropped"),
    ("sources", "Sources"),
    ("languages", "Languages"),
    ("signals", "Signals and limits"),
    ("duplicates", "Duplicates"),
    ("audits", "Judged by people"),
    ("mixture", "Mixture and tokens"),
    ("ledger", "Ledger"),
    ("losses", "Losses"),
    ("lineage", "Lineage"),
)


def render(data: ReportData) -> str:
    """The whole page. The same data give the same bytes."""
    folder = resources.files("tamis.corpus") / "page"
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; base-uri 'none'"
    shown = [(key, title, body) for (key, title), body in zip(SECTIONS, _bodies(data), strict=True) if body]
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in shown)
    sections = "".join(f'<section id="{key}"><h2>{title}</h2>{body}</section>' for key, title, body in shown)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(data.name)}: a corpus by Tamis</title><style>\n{style}</style></head>\n"
        f'<body><div class="page"><nav aria-label="Contents"><div class="brand">Tamis</div>{links}'
        '<button id="theme" type="button">Light / dark</button></nav>\n'
        f"<main>{_head(data)}{sections}</main></div>\n<script>{script}</script></body></html>\n"
    )


def _bodies(data: ReportData) -> Iterable[str]:
    yield _funnel(data)
    yield _rules(data)
    yield _sources(data)
    yield _languages(data)
    yield _signals(data)
    yield _duplicates(data)
    yield _audits(data)
    yield _mixture(data)
    yield _ledger(data)
    yield _losses(data)
    yield _lineage(data)


def _head(data: ReportData) -> str:
    figures = [
        (f"{data.records:,}", "records read"),
        (f"{data.documents:,}", "documents"),
        (f"{data.kept:,}", escape(f"kept, {percent(data.kept, data.documents)}")),
        (size(data.kept_bytes), "of kept text"),
    ]
    if data.tokens:
        figures.append((short(data.tokens.tokens), f"tokens in {plural(len(data.tokens.shards), 'shard')}"))
    cells = "".join(f"<div><b>{value}</b><span>{label}</span></div>" for value, label in figures)
    return (
        f"<header><h1>Corpus {escape(data.name)}</h1>"
        f'<p class="lead">Made by <code>{escape(data.recipe_label)}</code>, recipe '
        f"<code>{escape(data.recipe_digest[:12])}</code>, seed <code>{data.seed}</code>. Every dropped document keeps "
        f'its reason: <code>tamis why ID</code>.</p><div class="figures">{cells}</div></header>'
    )


# Sections.


def _funnel(data: ReportData) -> str:
    if not data.records:
        return "<p>No records were read.</p>"
    rows = [_step("records", data.records, data.records, data.records)]
    lost = sum(loss.count for loss in data.losses)
    if lost:
        rows.append(_drop("no page, or not readable", lost, data.records, data.records))
    rows.append(_step("documents", data.documents, data.documents, data.records))
    left = data.documents
    small = 0
    for rule in data.rules:
        if rule.first and rule.first < data.documents / 400 and rule.name != "duplicate":
            small += rule.first  # too thin to see; the table below has them all
            continue
        if rule.name == "duplicate" and small:
            rows.append(_drop("other rules", small, left, data.records))
            left, small = left - small, 0
        if rule.first:
            rows.append(_drop(rule.name, rule.first, left, data.records))
            left -= rule.first
    if small:
        rows.append(_drop("other rules", small, left, data.records))
    rows.append(_step("kept", data.kept, data.kept, data.records))
    return (
        '<p class="note">Documents in the order of the rules: each bar shows what a rule dropped first, out of '
        f'what was left before it.</p><div class="funnel">{"".join(rows)}</div>'
    )


def _step(name: str, count: int, left: int, whole: int) -> str:
    return (
        f'<div class="step">{escape(name)}</div><div class="track">'
        f'<i class="keep" style="left:0;width:{width(left, whole)}"></i></div>'
        f'<div class="n">{count:,}</div><div class="share">{escape(percent(count, whole))}</div>'
    )


def _drop(name: str, count: int, left: int, whole: int) -> str:
    return (
        f'<div class="reason">{escape(name)}</div><div class="track">'
        f'<i class="rest" style="left:0;width:{width(left - count, whole)}"></i>'
        f'<i class="drop" style="left:{width(left - count, whole)};width:{width(count, whole)}"></i></div>'
        f'<div class="n">&minus;{count:,}</div><div class="share">{escape(percent(count, whole))}</div>'
    )


def _rules(data: ReportData) -> str:
    if not data.rules:
        return "<p>The recipe has no rules.</p>"
    rows = [
        [
            cell(rule.name, "name"),
            cell(rule.expression or "no text could be extracted", "mono wide"),
            number(rule.first),
            bar([(rule.first, "drop")], max(one.first for one in data.rules)),
            number(rule.fired),
            number(rule.alone),
            cell(rule.source, "note"),
        ]
        for rule in data.rules
    ]
    heads = ["rule", "must hold", ">dropped first", "", ">fired", ">alone", "source"]
    note = (
        '<p class="note"><b>Dropped first</b>: documents of which this is the reason. <b>Fired</b>: all documents on '
        "which it fired, also after another. <b>Alone</b>: documents that would be kept without it.</p>"
    )
    samples = "".join(_rule_samples(rule) for rule in data.rules if rule.samples)
    drawn = (
        "<h3>Samples</h3><p class='note'>Drawn by the seed, as extracted and before cleaning.</p>" if samples else ""
    )
    return note + table(heads, rows, sortable=True) + drawn + samples


def _rule_samples(rule: RuleRow) -> str:
    shown = "".join(_sample(sample) for sample in rule.samples)
    return f"<details><summary>{escape(rule.name)}, {rule.first:,} dropped</summary>{shown}</details>"


def _sample(sample: Sample) -> str:
    more = " more" if sample.chars > len(sample.excerpt) else ""
    reasons = " ".join(f'<span class="tag drop">{escape(reason)}</span>' for reason in sample.reasons)
    text = escape(sample.excerpt) or "<em>no text</em>"
    return (
        f'<article class="sample"><header><span class="mono">{escape(sample.id[:12])}</span>'
        f"<span>{escape(sample.source)}</span><span>{escape(sample.language)}</span>"
        f"<span>{sample.chars:,} characters</span>"
        f'<span class="mono">{escape(sample.url or "")}</span><span>{reasons}</span></header>'
        f'<div class="text{more}" dir="auto">{text}</div></article>'
    )


def _sources(data: ReportData) -> str:
    kept = data.by("source")
    rows = []
    for source in data.sources:
        documents, stays, octets = kept.get(source.name, (0, 0, 0))
        rows.append(
            [
                cell(source.name, "name"),
                number(source.records),
                number(documents),
                number(stays),
                bar([(stays, "keep"), (documents - stays, "lost")], documents),
                cell(percent(stays, documents), "n"),
                cell(size(octets), "n", octets),
                cell(source.licence),
            ]
        )
    return table([">records", ">documents", ">kept", "", ">share", ">text", "licence"], rows, first="source")


def _languages(data: ReportData) -> str:
    found = data.by("language")
    most = max((row[0] for row in found.values()), default=0)
    rows = [
        [
            cell(code, "name"),
            number(documents),
            number(stays),
            bar([(stays, "keep"), (documents - stays, "lost")], most),
            cell(percent(stays, documents), "n", stays / documents if documents else 0),
            cell(size(octets), "n", octets),
            cell(percent(octets, data.kept_bytes), "n", octets),
        ]
        for code, (documents, stays, octets) in found.items()
    ]
    heads = [">documents", ">kept", "", ">share kept", ">text", ">share of text"]
    note = (
        f'<p class="note">{plural(len(rows), "language")} as detected; <code>und</code> is text too short or too mixed '
        "to tell.</p>"
    )
    return note + table(heads, rows, first="language", sortable=True)


def _signals(data: ReportData) -> str:
    if not data.histograms:
        return ""
    figures = "".join(plot(one) for one in data.histograms)
    return (
        '<p class="note">Every signal that a rule compares with a number, over all documents with text, inside the '
        "rule's scope or not. The dashed line is the limit. Heights are square roots of counts, so that thin tails "
        "show.</p>"
        '<div class="legend"><span><i style="background:var(--keep)"></i>within the limits</span>'
        '<span><i style="background:var(--drop)"></i>beyond a limit</span></div>'
        f'<div class="plots">{figures}</div>'
    )


def _duplicates(data: ReportData) -> str:
    if not data.duplicates:
        return ""
    intro = (
        f"<p>{plural(data.duplicates, 'document')} lost to {plural(data.survivors, 'kept document')}, each by an edge "
        "that was verified on the full text.</p>"
        '<p class="note">The largest groups, with the member that is least like the kept one.</p>'
        '<div class="legend"><span><i style="background:var(--keep-soft)"></i>only in the kept document</span>'
        '<span><i style="background:var(--drop-soft)"></i>only in the one that lost</span></div>'
    )
    return intro + "".join(_cluster(cluster) for cluster in data.clusters)


def _audits(data: ReportData) -> str:
    if not data.audits:
        return ""
    rows = [
        [cell(row.kind), *(cell(_share(share)) for share in (row.precision, row.recall)),
         cell(f"{row.judged:,} of {row.drawn:,} by {plural(row.raters, 'rater')}")]
        for row in data.audits
    ]  # fmt: skip
    note = (
        '<p class="note">A sample of the decisions of this corpus, with 95 % intervals; what it cannot tell stands in '
    )
    return table(["decision", "precision", "recall", "judged"], rows) + note + "docs/audit.md.</p>"


def _share(share: tuple[float, float, float] | None) -> str:
    return f"{share[0]:.3f} ({share[1]:.3f} to {share[2]:.3f})" if share else "not known"


def _cluster(cluster: ClusterRow) -> str:
    parts = []
    for kind, words in cluster.aligned:
        shown = escape(words)
        tag = {
            "kept": f"<ins>{shown}</ins>",
            "lost": f"<del>{shown}</del>",
            "gap": f'<span class="gap">[{shown}]</span>',
        }
        parts.append(tag.get(kind, shown))
    kept, lost = cluster.kept, cluster.lost
    return (
        f'<article class="sample"><header><span>{plural(cluster.size, "document")}</span>'
        f"<span>Jaccard {cluster.jaccard:.3f}</span>"
        f'<span>kept <span class="mono">{escape(kept.id[:12])} {escape(kept.url or "")}</span></span>'
        f'<span>lost <span class="mono">{escape(lost.id[:12])} {escape(lost.url or "")}</span></span></header>'
        f'<div class="text" dir="auto">{" ".join(parts)}</div></article>'
    )


def _mixture(data: ReportData) -> str:
    if not data.text:
        return ""
    if not data.tokens:
        return _untokenised(data, data.text)
    rows = [
        [
            cell(row["source"], "name"),
            cell("" if row["weight"] is None else f"{row['weight']:g}", "n"),
            cell(f"{row['rate']:.3g}", "n", row["rate"]),
            number(row["available_tokens"]),
            number(row["planned_tokens"]),
            number(row["tokens"]),
            cell(percent(row["planned_share"], 1), "n", row["planned_share"]),
            cell(percent(row["share"], 1), "n", row["share"]),
            number(row["documents"]),
        ]
        for row in data.mixture
    ]
    heads = [
        *(
            ">weight",
            ">epochs",
            ">tokens kept",
            ">planned",
            ">reached",
            ">share planned",
            ">share reached",
            ">documents",
        ),
    ]
    made = data.tokens
    about = (
        f"<h3>Token shards</h3><p>{made.tokens:,} tokens, end-of-text marks included, "
        f"of {plural(made.documents, 'document')}; "
        f"{escape(made.dtype)}, vocabulary {made.vocabulary:,}"
        + (f", context {made.context:,}" if made.context else "")
        + f'. Tokenizer <code title="SHA-256">{escape(made.tokenizer_sha256[:16])}</code>.</p>'
    )
    shards = [
        [cell(shard.file, "name"), number(shard.tokens), number(shard.documents), cell(shard.sha256, "mono")]
        for shard in made.shards
    ]
    listed = table([">tokens", ">documents", "SHA-256"], shards, first="file")
    if len(shards) > 12:
        listed = f"<details><summary>{len(shards)} shards with hashes</summary>{listed}</details>"
    return table(heads, rows, first="source") + _limited(data) + about + listed


def _untokenised(data: ReportData, text: TextRow) -> str:
    rows = [
        [
            cell(row["source"], "name"),
            cell("" if row["weight"] is None else f"{row['weight']:g}", "n"),
            cell(f"{row['rate']:.3g}", "n", row["rate"]),
            *(cell(size(row[key]), "n", row[key]) for key in ("available_bytes", "planned_bytes", "bytes")),
            cell(percent(row["planned_share"], 1), "n", row["planned_share"]),
            cell(percent(row["share"], 1), "n", row["share"]),
            number(row["documents"]),
        ]
        for row in data.mixture
    ]
    heads = [">weight", ">epochs", ">text kept", ">planned", ">reached", ">share planned", ">share reached"]
    about = (
        f"<h3>Text</h3><p>{plural(text.documents, 'document')} in {plural(text.files, 'Parquet file')}, in final "
        "order. The recipe asks for no tokens.</p>"
    )
    return table([*heads, ">documents"], rows, first="source") + _limited(data) + about


def _limited(data: ReportData) -> str:
    if not data.limited_by:
        return ""
    names = ", ".join(escape(name) for name in data.limited_by)
    return f'<p class="note">The size is limited by the epochs of {names}.</p>'


def _ledger(data: ReportData) -> str:
    rows = []
    for one in data.ledger:
        whole = one.rows_out + sum(one.reasons.values()) == one.rows_in
        reasons = ", ".join(f"{escape(name)} {count:,}" for name, count in one.reasons.items() if count)
        rows.append(
            [
                cell(one.stage, "name"),
                number(one.rows_in),
                number(one.rows_out),
                f'<td class="wide">{reasons}</td>',
                f'<td class="{"ok" if whole else "bad"}">{"adds up" if whole else "does not add up"}</td>',
            ]
        )
    note = (
        '<p class="note">What goes into a stage is what comes out plus what has a reason, counted from the files.</p>'
    )
    return note + table([">in", ">out", "with a reason", ""], rows, first="stage") if rows else ""


def _losses(data: ReportData) -> str:
    if not data.losses:
        return ""
    rows = []
    for loss in data.losses:
        places = "<br>".join(
            f"{escape(file)} at {offset:,}{': ' + escape(detail) if detail else ''}"
            for file, offset, detail in loss.examples
        )
        rows.append([cell(loss.reason, "name"), number(loss.count), f'<td class="mono wide">{places}</td>'])
    note = (
        '<p class="note">Records that gave no document. All of them are listed in the workspace under '
        "<code>losses/</code>.</p>"
    )
    return note + table([">records", "for example"], rows, first="reason")


def _lineage(data: ReportData) -> str:
    sources = [
        [cell(source.name, "name"), cell(source.licence), cell(", ".join(source.paths), "mono wide")]
        for source in data.sources
    ]
    stages = [
        [cell(row.stage, "name"), number(row.files), cell(size(row.bytes), "n"), cell(row.hash, "mono")]
        for row in data.lineage
    ]
    packages = [[cell(name, "name"), cell(version, "mono")] for name, version in data.versions.items()]
    return (
        f"<h3>Sources and licences</h3>{table(['licence', 'paths'], sources, first='source')}"
        "<h3>Stages</h3><p class='note'>One hash over the content hashes of all files of a stage, in order: equal "
        f"hashes are equal bytes.</p>{table(['>files', '>size', 'hash'], stages, first='stage')}"
        f"<h3>Versions</h3>{_whose(data)}{table(['version'], packages, first='package')}"
        f"<h3>Recipe</h3><p class='note'>Digest <code>{escape(data.recipe_digest)}</code>, "
        f"seed <code>{data.seed}</code>.</p>"
        f"<pre>{escape(data.recipe)}</pre>"
    )


def _whose(data: ReportData) -> str:
    return "" if data.versions_of_run else f"<p class='note'>{NOT_STORED}</p>"
