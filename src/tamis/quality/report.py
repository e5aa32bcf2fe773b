"""What a model's header says, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tamis.quality import arpa, dsir, linear


def describe(header: Mapping[str, Any]) -> list[str]:
    """A model of any kind."""
    kind = header.get("format")
    if kind == linear.FORMAT:
        body = [*_data(header, "good", "bad"), *lines(header["report"])]
        if "objection" in header:
            body.insert(0, f"WRITTEN IN SPITE OF THIS: {header['objection']}")
    elif kind == dsir.FORMAT:
        features = header["features"]
        body = [
            *_data(header, "target", "raw"),
            f"features  {features['buckets']:,} buckets of n-grams of 1 to {features['ngram']} words",
            f"divergence of the raw text from the target: {header['divergence']} nats",
        ]
    elif kind == arpa.FORMAT or "orders" in header:
        body = _ngram(header)
    else:
        body = [f"{kind}: not known to this Tamis"]
    return [*body, f"licence   {header['licence']}"] if "licence" in header else body


def _data(header: Mapping[str, Any], *names: str) -> list[str]:
    return [
        f"{name:<9} {', '.join(seen['names'])}: {seen['documents']:,} documents, {seen['bytes'] / 1e6:,.1f} MB, "
        f"digest {seen['digest'][:12]}"
        for name in names
        for seen in [header["data"][name]]
    ]


def _ngram(header: Mapping[str, Any]) -> list[str]:
    if "orders" not in header:
        return ["an ARPA file made by other hands: it says nothing of itself"]
    seen = header["data"]
    out = [
        f"trained   {', '.join(seen['names'])}: {seen['documents']:,} documents, {seen['bytes'] / 1e6:,.1f} MB, "
        f"digest {seen['digest'][:12]}",
        f"counted   {header['tokens']:,} words and ends of {header['sentences']:,} lines, "
        f"{header['vocabulary']:,} different words",
        "order      n-grams       kept    D1    D2   D3+",
    ]
    for n, order in enumerate(header["orders"], 1):
        d = order["discounts"]
        note = "   fallback: too few n-grams" if order.get("fallback") else ""
        out.append(f"{n:>5} {order['found']:>12,} {order['kept']:>10,} {d[0]:>5.2f} {d[1]:>5.2f} {d[2]:>5.2f}{note}")
    if "terciles" in header:
        t = header["terciles"]
        names = ", ".join(t["data"]["names"])
        out.append(f"buckets   head up to {t['head']:,.1f}, middle up to {t['middle']:,.1f}, of {names}")
    else:
        out.append("buckets   none: train with --buckets REFERENCE for head, middle and tail")
    return out


def lines(report: Mapping[str, Any]) -> list[str]:
    """The report of a classifier."""
    sample = report["sample"]
    out = [
        f"sample    {sample['good']:,} good and {sample['bad']:,} bad documents (at most {sample['cap']:,} of each); "
        f"{sample['repeated']:,} repeated and {sample['in_both']:,} in both kinds were left out"
    ]
    if "by_document" not in report:
        return out
    out.append(f"held out, {report['folds']} folds     AUC                    average precision      calibration error")
    for name in ("by_document", "by_host"):
        found = report[name]
        title = name.replace("_", " ")
        if "auc" not in found:
            out.append(f"{title:<22}  not done: {found['why']}")
            continue
        hosts = found.get("hosts")
        note = f"   ({hosts['good']:,} and {hosts['bad']:,} hosts)" if hosts else ""
        out.append(
            f"{title:<22}  {_estimate(found['auc']):<22} {_estimate(found['average_precision']):<22} "
            f"{found['calibration_error']:.3f}{note}"
        )
    if "note" in report["by_document"]:
        out.append(f"by document is {report['by_document']['note']}")
    said = report["explained"]
    out += [
        f"length alone  AUC {said['length_auc']:.3f}; language alone  AUC {said['language_auc']:.3f}",
        f"among documents alike in both  AUC {_estimate(said['matched_auc'])}; "
        f"the two kinds overlap by {said['overlap']:.0%}",
        f"rank correlation of score and length: good {said['correlation_with_length']['good']:+.2f}, "
        f"bad {said['correlation_with_length']['bad']:+.2f}",
    ]
    strict = report["by_host"] if "auc" in report["by_host"] else report["by_document"]
    out.append("score  share of good  documents   (held out; both kinds weigh the same)")
    out += [f"{row['score']:>5.2f}  {row['good']:>13.2f}  {row['documents']:>9,}" for row in strict["reliability"]]
    for side, title in (("good", "n-grams that speak for good"), ("bad", "n-grams that speak for bad")):
        rows = report.get("telling", {}).get(side)
        if rows:
            out.append(f"{title}   (weight above the mean, share of good and of bad documents)")
            out += [
                f"  {row['weight']:>+6.2f}  {row['good']:>6.1%} {row['bad']:>6.1%}  {row['ngram']}"
                + (f"   (or: {row['also']})" if "also" in row else "")
                for row in rows
            ]
    return out


def _estimate(found: Mapping[str, float]) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
