"""Harm: a word list, a package and a trained model against people's marks, over_18 of 70,809 Reddit posts.

    TAMIS_DATA=... python benchmarks/harm.py [--json]

Posts (title and text) are split by subreddit, so that nothing is judged by the name of its place: half of the
subreddits to learn from, half to judge. The word list is what a person might write after reading the first half: the 40
words that tell most by the z-score of their log odds; Tamis ships none. The model is one of `tamis quality train`. Each
method's limit is the one of best F1 on the first half. Intervals are Wilson's at 95 % and take posts as independent,
which posts of one subreddit are not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.quality import metrics
from tamis.quality.reading import Texts
from tamis.quality.training import train
from tamis.signals.wordlists import WordList, fold

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def posts(data: Path) -> tuple[list[str], Bools, Bools]:
    """(texts, marked over 18, in the first half)."""
    table = pq.read_table(data / "reddit/posts.parquet", columns=["title", "selftext", "subreddit", "over_18"])
    texts = [f"{row['title']}\n\n{row['selftext']}".strip() for row in table.to_pylist()]
    half = [
        hashlib.blake2b(name.encode(), digest_size=1).digest()[0] % 2 == 0 for name in table["subreddit"].to_pylist()
    ]
    return texts, table["over_18"].to_numpy(), np.array(half)


def telling(texts: list[str], marked: Bools, most: int = 40) -> list[str]:
    """Words by the z-score of their log odds, with 0.5 added to every count."""
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for text, mark in zip(texts, marked.tolist(), strict=True):
        counts[mark].update(set(re.findall(r"[^\W\d_]{3,}", fold(text))))
    totals = {mark: int((marked == mark).sum()) for mark in (True, False)}

    def z(word: str) -> float:
        a, b = counts[True][word] + 0.5, counts[False][word] + 0.5
        return (math.log(a / totals[True]) - math.log(b / totals[False])) / math.sqrt(1 / a + 1 / b)

    return sorted((word for word, n in counts[True].items() if n >= 3), key=z, reverse=True)[:most]


def list_scores(words: list[str], texts: list[str], folder: Path) -> Floats:
    path = folder / "words.txt"
    path.write_text("\n".join(words), encoding="utf-8")
    found = WordList(path)
    return np.array([len(found.search(fold(text))) / max(1, len(text.split())) for text in texts])


def model_scores(texts: list[str], marked: Bools, half: Bools, folder: Path) -> Floats:
    names = []
    for mark in (True, False):
        path = folder / f"{mark}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for text, each, first in zip(texts, marked, half, strict=True):
                if first and each == mark:
                    file.write(json.dumps({"text": text}) + "\n")
        names.append(Texts((str(path),)))
    model = train(names[0], names[1])
    return np.nan_to_num(model.scores(pa.array(texts, pa.large_string())))


def best_limit(scores: Floats, marked: Bools) -> float:
    """The score from which on F1 is best."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(marked[order])
    last = np.append(np.diff(scores[order]) != 0, True)
    f1 = np.where(last, 2 * hits / (np.arange(1, len(order) + 1) + marked.sum()), -1)
    return float(scores[order][int(np.argmax(f1))])


def wilson(right: int, all_: int) -> list[float]:
    """The 95 % interval of a share."""
    if not all_:
        return [0.0, 1.0]
    z, share = 1.96, right / all_
    middle, spread = share + z * z / (2 * all_), z * math.sqrt(share * (1 - share) / all_ + z * z / (4 * all_ * all_))
    return [round((middle - spread) / (1 + z * z / all_), 4), round((middle + spread) / (1 + z * z / all_), 4)]


def judged(name: str, scores: Floats, marked: Bools, half: Bools) -> dict[str, Any]:
    limit = best_limit(scores[half], marked[half])
    given, truth = scores[~half] >= limit, marked[~half]
    hits = int((given & truth).sum())
    return {
        "method": name,
        "limit": round(limit, 4),
        "recall": round(hits / int(truth.sum()), 4),
        "recall_95": wilson(hits, int(truth.sum())),
        "precision": round(hits / max(1, int(given.sum())), 4),
        "precision_95": wilson(hits, int(given.sum())),
        "average_precision": round(metrics.average_precision(truth, scores[~half]), 4),
        "auc": round(metrics.auc(truth, scores[~half]), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    texts, marked, half = posts(Path(os.environ["TAMIS_DATA"]))
    first = [text for text, inside in zip(texts, half, strict=True) if inside]
    words = telling(first, marked[half])
    with tempfile.TemporaryDirectory() as folder:
        from profanity_check import predict_prob

        rows = [
            judged("word list of 40", list_scores(words, texts, Path(folder)), marked, half),
            judged("alt-profanity-check", np.array(predict_prob(texts)), marked, half),
            judged("quality train", model_scores(texts, marked, half, Path(folder)), marked, half),
        ]
    body = {
        "learned_from": {"posts": int(half.sum()), "marked": int(marked[half].sum())},
        "judged_on": {"posts": int((~half).sum()), "marked": int(marked[~half].sum())},
        "methods": rows,
    }
    if given.json:
        print(json.dumps(body, indent=1))
        return
    judged_on = body["judged_on"]
    print(f"{judged_on['posts']:,} posts of other subreddits, {judged_on['marked']} marked over 18\n")
    print("| method | recall | precision | average precision | AUC |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        cells = [f"{row[n]:.3f} ({row[n + '_95'][0]:.3f} to {row[n + '_95'][1]:.3f})" for n in ("recall", "precision")]
        print(f"| {row['method']} | {cells[0]} | {cells[1]} | {row['average_precision']:.3f} | {row['auc']:.3f} |")


if __name__ == "__main__":
    main()
