"""Prints a `Receipt` for people. Text of documents is shown through `printable`: a terminal never obeys it."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.verdicts.align import Passage
from tamis.verdicts.display import columns, number, printable
from tamis.verdicts.receipt import DROP, NOT_MEASURED, OUT_OF_SCOPE, WOULD_DROP, Receipt, Rival, RuleLine, ToKeep
from tamis.verdicts.rules import DUPLICATE

WIDTH = 96
MOST_PASSAGES = 12


def render(found: Receipt) -> str:
    """The receipt as plain lines, the verdict first."""
    lines = [_headline(found)]
    lines += _pairs(
        [
            ("source", _source(found)),
            ("cleaned", _cleaned(found)),
            ("recipe", _recipe(found)),
        ]
    )
    if found.stale:
        lines += _pairs([("warning", "the signals changed after this verdict; `tamis run` the recipe again")])
    lines += _rules(found)
    for one in found.evidence:
        lines += _pairs([("evidence", f"{one.signal}: {printable(one.note, 160)}")])
        if one.start == one.end:
            continue
        lines.append(
            f'          characters {one.start:,}-{one.end:,} of the {one.state} text: "{printable(one.text, WIDTH)}"'
        )
    if found.duplicate:
        lines += _aligned(found.duplicate)
    lines += _changes(found)
    if found.to_keep:
        lines += _to_keep(found.to_keep)
    return "\n".join(lines) + "\n"


def _headline(found: Receipt) -> str:
    verdict = "KEPT" if found.keep else f"DROPPED by {_because(found)}"
    return f"{verdict:<50}  id {found.id}   shard {found.shard:,}, row {found.row:,}"


def _because(found: Receipt) -> str:
    if found.fired:
        return found.fired.name
    if found.reason == DUPLICATE and found.duplicate:
        return f"duplicate of {found.duplicate.id[:12]}"
    return f"{found.reason} (it has no text)"


def _source(found: Receipt) -> str:
    parts = [found.source, printable(found.url or "no URL", 120)]
    if found.date:
        parts.append(found.date)
    if found.chars is not None and found.words is not None:
        parts.append(f"{found.words:,} words, {found.chars:,} characters in the final text")
    return "   ".join(parts)


def _cleaned(found: Receipt) -> str:
    if found.reason and found.chars is None:
        return "nothing: no text was extracted"
    if not found.edited:
        return "nothing was edited"
    most = sorted(found.edited, key=lambda one: (-one.removed, one.rule))
    return ", ".join(
        f"{one.rule} {one.removed:,} bytes" + (f" in {one.edits:,} places" if one.edits > 1 else "") for one in most
    )


def _recipe(found: Receipt) -> str:
    named = [f"{preset} ({title})" for preset, title in zip(found.presets, found.titles, strict=True)]
    own = [line.name for line in found.rules if line.origin == "recipe"]
    if own:
        named.append("its own " + ", ".join(own))
    return f"{found.recipe}, rules " + ("; ".join(named) if named else "none")


def _rules(found: Receipt) -> list[str]:
    if found.rules and all(line.verdict == NOT_MEASURED for line in found.rules):
        return _pairs([("rules", f"none of {len(found.rules)} was evaluated: there is nothing to measure")])
    rows = [["rule", "signal", "value", "limit", "verdict"]]
    for line in found.rules:
        values = ", ".join(
            number(value, [limit for limit in line.limits if limit.column == signal])
            for signal, value in zip(line.signals, line.found, strict=True)
        )
        rows.append([line.name, ", ".join(line.signals), values, printable(line.limit, 44), line.verdict + _note(line)])
    rows.append(["duplicate", "dedup", *_duplicate(found)])
    return columns(rows, (False, False, True, False, False))


def _note(line: RuleLine) -> str:
    if line.verdict == OUT_OF_SCOPE:
        return f"        applies where {printable(line.scope, 40)}"
    if line.verdict in (DROP, WOULD_DROP) and line.unit:
        return f"        {line.unit}"
    if line.verdict == NOT_MEASURED:
        return "        nothing to measure"
    return ""


def _duplicate(found: Receipt) -> list[str]:
    if found.duplicate:
        fired = found.reason == DUPLICATE
        return ["yes", "", (DROP if fired else WOULD_DROP) + f"        lost to {_rival(found.duplicate)}"]
    verdict = "pass" if found.keep else "not reached"
    nearest = "no near document was found" if found.nearest is None else f"nearest {_rival(found.nearest)}"
    return ["no", "", f"{verdict}        {nearest}"]


def _rival(rival: Rival) -> str:
    state = "kept" if rival.kept else "dropped"
    if rival.kind == "exact":
        return f"{rival.id[:12]}, the same normalized text, {state}"
    return f"{rival.id[:12]}, Jaccard {rival.jaccard:.2f}, containment {rival.containment:.2f}, {state}"


def _aligned(rival: Rival) -> list[str]:
    lines = _pairs([("lost to", f"{rival.id}   {printable(rival.url or 'no URL', 120)}")])
    alignment = rival.alignment
    if alignment is None:
        return lines
    cut = "" if alignment.whole else ", of the first 20,000 words"
    lines.append(f"          {alignment.shared:.0%} of this text's words are in aligned passages{cut}")
    shown = alignment.passages[:MOST_PASSAGES]
    for passage in shown:
        lines.append("          " + _passage(passage, rival))
    if len(alignment.passages) > len(shown):
        lines.append(f"          ... and {len(alignment.passages) - len(shown):,} more passages")
    return lines


def _passage(passage: Passage, rival: Rival) -> str:
    mark = {"same": "=", "left": "-", "right": "+"}[passage.kind]
    start, end = passage.right if passage.kind == "right" else passage.left
    text = (rival.right_text if passage.kind == "right" else rival.left_text)[start:end]
    words = f"{passage.words:,} word{'' if passage.words == 1 else 's'}"
    if len(text) > WIDTH:
        text = text[: WIDTH // 2 - 3] + " ... " + text[-(WIDTH // 2 - 3) :]
    return f"{mark} {words:>12}  {printable(text)}"


def _changes(found: Receipt) -> list[str]:
    if not found.changes:
        return []
    total = sum(one.edits for one in found.edited)
    shown = len(found.changes)
    lines = _pairs([("edits", f"{total:,}" + (f", the {shown} largest" if shown < total else ""))])
    for change in found.changes:
        lines.append(f"          bytes {change.start:,}-{change.end:,}  {change.rule}")
        if change.removed:
            lines.append(f"          - {printable(change.removed, WIDTH)}")
        if change.inserted:
            lines.append(f"          + {printable(change.inserted, WIDTH)}")
    return lines


def _to_keep(keep: ToKeep) -> list[str]:
    if not keep.settings:
        return _pairs([("to keep", keep.why)])
    wanted = " and ".join(f"{name} off" if text == "off" else text for name, text in keep.settings.items())
    changes = " ".join(f"{name}={_quoted(text)}" for name, text in keep.settings.items())
    effect = (
        f"returns {keep.returns:,} document{'' if keep.returns == 1 else 's'}"
        if keep.works
        else f"not enough: {keep.why}"
    )
    return _pairs([("to keep", f"{printable(wanted)}: {effect}"), ("", f"tamis what-if {printable(changes)}")])


def _quoted(text: str) -> str:
    """As one word of a POSIX shell."""
    return text if text == "off" else "'" + text.replace("'", "'\\''") + "'"


def _pairs(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{name:<10}{text}" for name, text in rows]
