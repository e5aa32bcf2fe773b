"""A ledger of rules as text for people."""

from __future__ import annotations

import numpy as np

from tamis.proof.judged_rules import LEVEL, PLACEBO
from tamis.proof.ledger import Ledger


def render(ledger: Ledger) -> str:
    """For people: the table, what was not trained, what it cost."""
    s = ledger.setting
    width = max([len(row.rule) for row in ledger.rows] + [4])
    lines = [
        f"question  what is each rule of {ledger.name} worth?",
        ledger.held_out,
        f"models    {s['parameters']:,} parameters, {s['tokens']:,} tokens each ({s['epochs']:g} epochs of the "
        f"corpus), {s['seeds']} pairs by seed; {ledger.trained} trained, {ledger.reused} reused",
        str(ledger.sees),
        f"placebo   {ledger.placebo.value:+.4f} [{ledger.placebo.low:+.4f}, {ledger.placebo.high:+.4f}] bits per byte "
        f"for {PLACEBO:.0%} replaced by other text of the corpus; the whole recipe has {np.mean(ledger.full):.4f}",
    ]
    if ledger.placebo_new < 1:
        lines.append(
            f"          only {ledger.placebo_new:.0%} of that text is new to the models, the corpus has no more: the "
            "placebo loses by repetition too, and its scatter is not that of nothing"
        )
    lines += [
        "",
        f"{'rule':<{width}} {'fails':>8} {'alone':>7} {'tokens':>10} {'share':>6} {'change without it':>17}  "
        f"{'its interval':^20} {'p, Holm':>7} {'own text':>9} {'CPU s':>6}",
    ]
    for row in ledger.rows:
        cells = f"{row.rule:<{width}} {row.fails:>8,} {row.documents:>7,} {row.tokens:>10,} {row.share:>6.1%}"
        cpu = "-" if row.cpu is None else f"{row.cpu:.1f}"
        if row.change is None:
            lines.append(f"{cells} {'-':>17}  {'':^20} {'':>7} {'':>9} {cpu:>6}  {row.why}")
        else:
            interval = f"[{row.low:+.4f}, {row.high:+.4f}]"
            own = "-" if row.own is None else f"{row.own:+.4f}"
            lines.append(
                f"{cells} {row.change.value:>+17.4f}  {interval:^20} {row.p_holm:>7.3f} {own:>9} {cpu:>6}  {row.says}"
            )
    lines += [
        "",
        "fails     documents that the rule drops, with others or alone; alone: they come back without it, with these "
        "tokens (bytes)",
        "change    bits per byte on the reference without the rule less with it: above 0, the rule helps",
        f"interval  of the change, at the level at which Holm decided ({LEVEL:g} over the rules left): without 0 "
        "exactly where a change is shown",
        "own text  change on text held out of the corpus, which favours the corpus: decides nothing",
        "CPU s     to measure the rule's signals on the workspace; rules of one signal group share it",
        f"cost      {ledger.cpu_seconds / 60:.1f} CPU minutes of training; evidence {ledger.folder}",
    ]
    if ledger.others:
        lines.append(
            f"note      {ledger.others} more of this corpus judged here, with other tokens, size or text: each finds "
            f"something where nothing is {LEVEL:.0%} of the time"
        )
    return "\n".join(lines)
