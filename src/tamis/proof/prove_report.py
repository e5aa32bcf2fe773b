"""A proof in words: on the terminal, and as a Markdown page with its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tamis.console import clock
from tamis.corpus.inert import markdown
from tamis.proof.comparison import Comparison, Difference
from tamis.proof.preparing import REFERENCE
from tamis.proof.proving import UNIT, Proof, items_said
from tamis.verdicts.display import printable

NAME = 40


def render(proof: Proof) -> str:
    """For a terminal: the question, what was held equal, each difference with its interval, the answer, its limits."""
    a, b = (printable(proof.prepared.arms[arm].name, 40) for arm in "AB")
    lines = [f"question  does {b} make a better model than {a}, at an equal budget of tokens?"]
    lines += [*_corpora(proof), *_models(proof)]
    for size, comparison in proof.comparisons.items():
        lines += ["", *_table(comparison, f" {size}" if len(proof.comparisons) > 1 else "")]
    lines += ["", *_checked(proof), *_answer(proof)]
    lines += [f"warning   {printable(one)}" for one in proof.warnings]
    lines += [f"cost      {_cost(proof)}", f"evidence  {proof.prepared.folder}: report.md, proof.json, runs' losses"]
    return "\n".join(lines)


def answer(proof: Proof, quoted: Callable[[str], str] = str) -> str:
    """One sentence or two: accept, reject, or how many more seeds. quoted: makes a name safe where this goes."""
    decision = proof.deciding.decision
    d = proof.deciding.differences[0]
    a, b = (quoted(printable(proof.prepared.arms[arm].name, 40)) for arm in "AB")
    if decision.answer == "accept":
        said = f"accept {b}: {decision.why}"
    elif decision.answer == "more":
        said = f"needs {decision.more} more seeds: {decision.why}"
    elif decision.mean > 0 and decision.low > 0:
        said = f"reject {b}, keep {a}: {decision.why}"
    else:
        said = f"reject {b}, nothing shown: {decision.why}; {_needed(proof, d)}"
    return (
        f"{said}. At {proof.parameters(proof.prepared.options.sizes[-1]) / 1e6:.2g} M parameters and this many tokens."
    )


def _needed(proof: Proof, d: Difference) -> str:
    if not d.sd or not d.value:
        return "the arms do not differ at all"
    count = proof.rule.needed(abs(d.value), d.sd)
    pairs = f"about {count:,}" if count < 1000 else "more than a thousand"
    return f"were the true difference as large as the {abs(d.value):.3g} {UNIT} seen, {pairs} pairs would show it"


def _corpora(proof: Proof) -> list[str]:
    lines = []
    for letter, one in proof.prepared.arms.items():
        stream = proof.prepared.streams[letter]
        digest = str(one.identity().get("hash", ""))[:4]
        label = printable(getattr(one, "label", one.name))
        lines.append(
            f"{'corpora' if letter == 'A' else '':<9} {letter} {printable(one.name, 40)} {_amount(stream.unique)} "
            f"tokens ({digest}): {label}"
        )
    found = proof.prepared.proof
    documents = sum(one["documents"] for one in found["corpora"].values())
    lines.append(
        f"{'':<9} held-out text shares no {found['ngram']}-gram with either: {documents:,} documents looked through"
    )
    return lines


def _models(proof: Proof) -> list[str]:
    lines: list[str] = []
    for size in proof.prepared.options.sizes:
        tokens = proof.prepared.tokens[size]
        runs = [one for one in proof.results if one.size == size]
        epochs = ", ".join(f"{k} {one.epochs(tokens):.2g}" for k, one in proof.prepared.streams.items())
        lines.append(
            f"{'models' if not lines else '':<9} decoder of {proof.parameters(size) / 1e6:.2g} M parameters, "
            f"{_amount(tokens)} tokens each (epochs: {epochs}), {runs[0].flops:.2g} FLOP a run, {len(runs)} runs"
        )
    return lines


def _table(comparison: Comparison, size: str) -> list[str]:
    n = len(comparison.seeds)
    kind = comparison.differences[0].interval
    head = f"metric{size}"
    lines = [f"{head:<{NAME}} {'A':>7} {'B':>7} {'B - A':>8}   95 % interval, {n} pairs by seed ({kind})"]
    scale = ("", "")
    for d in comparison.differences:
        if scale != (scale := (d.unit, d.direction)):
            lines.append(f"  in {d.unit}, {d.direction} is better")
        name = printable(d.metric, NAME)
        lines.append(
            f"{name:<{NAME}} {d.a:>7.3f} {d.b:>7.3f} {d.value:>+8.4f}   [{d.low:+.4f}, {d.high:+.4f}]  "
            f"p {d.p_holm:.3f}  {_says(comparison, d)}"
        )
    least = comparison.differences[0].p_least
    lines.append(
        f"{'':<{NAME}} p: sign flips of pairs, Holm over {len(comparison.differences)} metrics; {n} pairs cannot go "
        f"below {least:.2g} before Holm"
    )
    lines.append(f"{'':<{NAME}} the rule says of the first metric which arm is better, p below .05 of the others")
    return lines


def _says(comparison: Comparison, d: Difference) -> str:
    """Of the first metric its p does not decide, and may be large."""
    return f"{d.says}, by the rule" if d is comparison.differences[0] and d.shown else d.says


def _checked(proof: Proof) -> list[str]:
    decision = proof.deciding.decision
    rule = proof.rule
    told = ", ".join(f"{n} (p < {spent:.4f})" for n, spent in zip(rule.looks, rule.spends, strict=True))
    seen = f"before the first look at {rule.looks[0]} pairs"
    if decision.look:
        seen = (
            f"at {decision.look} pairs t = {decision.t:.2f}, p = {decision.p:.2g}; at the level of this look B - A is "
            f"in [{decision.low:+.4f}, {decision.high:+.4f}] {UNIT}"
        )
    lines = [
        f"rule      fixed before: {rule.metric}, paired t at {told} pairs; {seen}",
        f"checked   one tokenizer ({'bytes' if proof.prepared.options.encoder == 'bytes' else 'file'}), equal tokens "
        "and FLOPs, same held-out documents in the same order",
    ]
    if proof.prepared.items is not None:
        lines.append(f"{'':<9} {items_said(proof.prepared.items)}")
    for one in proof.trust:
        lines.append(f"{'ladder' if one is proof.trust[0] else '':<9} {one}")
    for worth in proof.equivalents:
        lines.append(f"{'worth' if worth is proof.equivalents[0] else '':<9} {worth}")
    if proof.no_law:
        lines.append(f"worth     {proof.no_law}")
    return lines


def _answer(proof: Proof) -> list[str]:
    more = (
        ""
        if len(proof.prepared.options.sizes) > 1
        else " Whether it holds at a larger size is not known: add it to --sizes."
    )
    return [f"answer    {answer(proof)}{more}"]


def _cost(proof: Proof) -> str:
    count = len(proof.results) + len(proof.law_runs)
    reused = f", {proof.reused} of {count} runs were there" if proof.reused else ""
    return f"{clock(proof.cpu_seconds)} of CPU for {count} runs; this call took {clock(proof.seconds)}{reused}"


def _amount(tokens: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if tokens >= size:
            return f"{tokens / size:.3g} {unit}"
    return f"{tokens:.0f}"


def write(proof: Proof, path: Path) -> None:
    """The page: what `render` says, then pictures, texts, runs, and how to make it again."""
    a, b = (printable(proof.prepared.arms[arm].name, 40) for arm in "AB")
    lines = [f"# Is {_code(b)} better than {_code(a)}?", "", f"**{answer(proof, _code)}**", ""]
    lines += [f"- {markdown(one)}" for one in proof.warnings] + [""] * bool(proof.warnings)
    for size, comparison in proof.comparisons.items():
        lines += [*_differences(comparison, size), ""]
    lines += [
        "![Differences with intervals](differences.png)", "", "![Loss on the way](curves.png)", "",
        "## Announced before anything was trained", "", "```text", proof.announced, "```", "",
        "## What was equal, and what not", "",
        "| arm | what | tokens | documents set aside | repeated by its mixture | hash |", "| --- " * 6 + "|",
    ]  # fmt: skip
    for letter, one in proof.prepared.arms.items():
        stream = proof.prepared.streams[letter]
        lines.append(
            f"| {letter} {_code(one.name)} | {_code(getattr(one, 'label', one.name))} | {stream.unique:,} | "
            f"{stream.set_aside:,} | {stream.repeated:,} | `{one.identity().get('hash', '')}` |"
        )
    lines += ["", "| size | parameters | tokens a run | FLOP a run | epochs A | epochs B |", "| --- " * 6 + "|"]
    for size in proof.prepared.options.sizes:
        tokens = proof.prepared.tokens[size]
        flops = next(one.flops for one in proof.results if one.size == size)
        epochs = " | ".join(f"{one.epochs(tokens):.2f}" for one in proof.prepared.streams.values())
        lines.append(f"| {size} | {proof.parameters(size):,} | {tokens:,} | {flops:.3g} | {epochs} |")
    lines += ["", *_held_out(proof), ""]
    lines += ["## In all", "", "```text", render(proof), "```", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _differences(comparison: Comparison, size: str) -> list[str]:
    lines = [
        f"| {size}: metric | A | B | B - A | {comparison.differences[0].level:.0%} interval | p (Holm) | says |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for d in comparison.differences:
        lines.append(
            f"| {_code(d.metric)}, {d.unit}, {d.direction} is better | {d.a:.4f} | {d.b:.4f} | {d.value:+.4f} | "
            f"{d.low:+.4f} to {d.high:+.4f} | {d.p_holm:.3f} | {_says(comparison, d)} |"
        )
    return lines


def _held_out(proof: Proof) -> list[str]:
    found = proof.prepared.proof
    lines = [
        "## Held-out text",
        "",
        f"Every {found['ngram']}-gram of these texts (words: {found['words']}) was looked up in every document that is "
        "trained on, twice: documents that share one were dropped, and the second pass found none.",
        "",
        "| text | documents | bytes | offered | shared an n-gram | short | copies |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in found["texts"].items():
        said = REFERENCE if name == REFERENCE else f"held out of {name}"
        lines.append(
            f"| {said} | {one['kept']:,} | {one['bytes']:,} | {one['offered']:,} | {one['shared']:,} | "
            f"{one['short']:,} | {one['copies']:,} |"
        )
    lines += ["", "| looked through | documents | bytes | found among all candidates | found among those kept |",
              "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, one in found["corpora"].items():
        lines.append(f"| {name} | {one['documents']:,} | {one['bytes']:,} | {one['first_hits']:,} | {one['hits']:,} |")
    return lines


def _code(text: str) -> str:
    """Names from data as Markdown code, which nothing in them can leave."""
    return f"`{printable(text).replace('`', chr(39)).replace('|', '/')}`"
