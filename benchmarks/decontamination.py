"""Recall and false alarms of decontamination, on evaluation items planted into real documents.

    python benchmarks/decontamination.py [--data DIR] [--quick] [--json]

Reads `eval/evalsets.parquet`, `text/*.parquet` and `web/` below DIR (default: the environment's TAMIS_DATA). Plants
items, whole and changed, at paragraph ends of documents, and looks for them by Tamis's score, at several thresholds,
and by three plain rules: any 13-gram of an item; GPT-3's (the same without n-grams that more than 10 documents of the
corpus hold); PaLM's (70% of an item's 8-grams). All rules use the same words. A planted case counts as found if its
document is flagged. The clean documents are the same corpus with nothing planted: everything flagged there is printed
(--alarms) to be read. Intervals: Wilson for recall, Clopper and Pearson for alarms, 95%.
"""

from __future__ import annotations

import argparse
import bz2
import html
import json
import os
import random
import re
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis import kernels
from tamis.audit.intervals import clopper_pearson
from tamis.decontaminate import index as indexes
from tamis.decontaminate import items as eval_items
from tamis.decontaminate import stages
from tamis.decontaminate.search import THRESHOLD, candidates, normals, search_texts, seeds
from tamis.intervals import wilson

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
PRESET = THRESHOLD
EIGHT = f"{PRESET}, ngram 8"
SEED = 17

# Paraphrases by rule. Each item goes through all rules of a list; items that none changes are not used.
SYNONYMS = (
    (r"\bHow many\b", "What number of"), (r"\bhow many\b", "what number of"), (r"\b[Hh]ow much\b", "what amount"),
    (r"\bbought\b", "purchased"), (r"\bbuys\b", "purchases"), (r"\bgave\b", "handed"), (r"\bgets\b", "receives"),
    (r"\beach\b", "every single"), (r"\bhas\b", "owns"), (r"\bhave\b", "own"), (r"\bthere are\b", "one finds"),
    (r"\bWhich of the following\b", "Which one of these"), (r"\bwhich of the following\b", "which one of these"),
    (r"\bbecause\b", "since"), (r"\blarge\b", "big"), (r"\bsmall\b", "little"), (r"\bmoney\b", "cash"),
    (r"\bwants to\b", "would like to"), (r"\btotal\b", "sum"), (r"\bthe\b", "that"), (r"\bis\b", "would be"),
    (r"\bWrite a (?:python )?function to\b", "Please code a routine that can"), (r"\band\b", "as well as"),
)  # fmt: skip
CHINESE = (
    ("下列", "以下"), ("哪项", "哪一个"), ("哪些", "哪几个"), ("正确", "对"), ("错误", "不对"), ("说法", "表述"),
    ("关于", "对于"), ("根据", "按照"), ("可以", "能够"), ("因为", "由于"), ("如果", "假如"), ("应当", "应该"),
    ("没有", "未曾"), ("所有", "全部"), ("进行", "开展"), ("但是", "不过"), ("是", "属于"), ("的", "之"),
)  # fmt: skip

LICENCE = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "
    'documentation files (the "Software"), to deal in the Software without restriction, including without limitation '
    "the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and "
    "to permit persons to whom the Software is furnished to do so, subject to the following conditions: The above "
    "copyright notice and this permission notice shall be included in all copies or substantial portions of the "
    'Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT '
    "LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT."
)
PHRASES = (
    "The quick brown fox jumps over the lazy dog, and the lazy dog does not mind at all. One two three four five six "
    "seven eight nine ten eleven twelve thirteen fourteen fifteen. Lorem ipsum dolor sit amet, consectetur adipiscing "
    "elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.",
    "Which of the following statements is true? Which of the following best describes the main idea of the passage? "
    "Choose the correct answer from the options below. (A) (B) (C) (D) None of the above. All of the above.",
    "We hold these truths to be self-evident, that all men are created equal, that they are endowed by their Creator "
    "with certain unalienable Rights, that among these are Life, Liberty and the pursuit of Happiness.",
    "def main(): if __name__ == '__main__': main() import os import sys for i in range(10): print(i) return None",
    "根据以上陈述，可以得出以下哪项？ 下列说法正确的是？ 下列哪些选项是正确的？ 请选择正确的答案。 以上都不对。",
)


@dataclass(frozen=True)
class Case:
    """A planted text: the kind, which item it is of (None: of none, so flagging it is a false alarm), the text."""

    kind: str
    item: str | None
    text: str


Row = dict[str, Any]
Change = Callable[[Row, random.Random], str | None]


def cut(text: str, share: float) -> str:
    """The first part of a text, by words; by characters where it has no spaces."""
    pieces = re.findall(r"\S+\s*", text)
    if len(pieces) < 12:
        return text[: int(len(text) * share)]
    return "".join(pieces[: int(len(pieces) * share)])


def inserted(row: Row, rng: random.Random, every: int) -> str:
    """One foreign word in every `every` words (or, without spaces, characters), at random places."""
    spaced = row["text"].count(" ") * 8 > len(row["text"])
    pieces = re.findall(r"\S+\s*", row["text"]) if spaced else list(row["text"])
    for _ in range(max(1, len(pieces) // every)):
        pieces.insert(rng.randrange(1, len(pieces)), "indeed " if spaced else "嗯")
    return "".join(pieces)


def reworded(row: Row, rules: Sequence[tuple[str, str]]) -> str | None:
    text = row["text"]
    for pattern, new in rules:
        text = re.sub(pattern, new, text)
    return text if text != row["text"] else None


def renumbered(row: Row, rng: random.Random) -> str | None:
    text = re.sub(r"\d+", lambda m: str(int(m[0][:9]) + rng.randint(1, 9)), row["text"])
    return text if text != row["text"] else None


def reordered(row: Row, rng: random.Random) -> str | None:
    sentences = re.split(r"(?<=[.?!。？])\s*", row["text"])
    sentences = [s for s in sentences if s]
    return " ".join(reversed(sentences)) if len(sentences) > 2 else None


def with_answer(row: Row, rng: random.Random) -> str | None:
    answer = eval_items.answer_text(row["answer"])
    return f"{row['text']}\nAnswer: {answer}" if answer else None


KINDS: dict[str, Change] = {
    "exact": lambda row, rng: row["text"],
    "exact, with answer": with_answer,
    "exact, upper case, no punctuation": lambda row, rng: re.sub(r"[^\w\s]", " ", row["text"]).upper(),
    "first 3/4": lambda row, rng: cut(row["text"], 0.75),
    "first half": lambda row, rng: cut(row["text"], 0.5),
    "a word in every 20 put in": lambda row, rng: inserted(row, rng, 20),
    "a word in every 10 put in": lambda row, rng: inserted(row, rng, 10),
    "numbers changed": renumbered,
    "sentences in reverse order": reordered,
    "synonyms": lambda row, rng: reworded(row, CHINESE if row["lang"] == "zh" else SYNONYMS),
}


def read_items(data: Path) -> list[Row]:
    found: list[Row] = pq.read_table(data / "eval" / "evalsets.parquet").to_pylist()
    return found


def read_corpus(data: Path, quick: bool) -> list[tuple[str, str]]:
    """(name, text) of real documents: documentation in ten languages, and web pages as Resiliparse extracts them."""
    found = []
    for file in ("english", "multilingual"):
        table = pq.read_table(data / "text" / f"{file}.parquet", columns=["id", "text"])
        found += [(f"{file}/{name}", text) for name, text in zip(*table.to_pydict().values(), strict=True)]
    if quick:
        return found[::10]
    from tamis.clean.extract import ExtractOptions, extract
    from tamis.sources import SourceSpec, plan, read
    from tamis.sources.records import Record

    for split in plan(SourceSpec("web", [str(data / "web" / "pages.warc.gz")], None, {}), 1 << 30):
        for record in read(split):
            if isinstance(record, Record):
                made = extract(record.payload, record.kind, record.charset, record.mime, ExtractOptions())
                if made.text:
                    found.append((f"web/{record.url}", made.text))
    return found


def read_others(data: Path) -> list[tuple[str, str]]:
    """(name, text) of posts of a forum, of novels and of an encyclopedia, mark-up roughly taken out."""
    found = []
    posts = pq.read_table(data / "reddit" / "posts.parquet", columns=["id", "title", "selftext"])
    for name, title, text in zip(*posts.to_pydict().values(), strict=True):
        found.append((f"reddit/{name}", f"{title}\n{text or ''}"))
    for book in sorted((data / "books").glob("*.epub")):
        with zipfile.ZipFile(book) as pages:
            for name in sorted(n for n in pages.namelist() if n.endswith(".xhtml")):
                found.append((f"{book.name}/{name}", re.sub("<[^>]*>", " ", pages.read(name).decode())))
    for dump in sorted((data / "wikipedia").glob("enwiki*articles1*.bz2")):
        with bz2.open(dump, "rt", encoding="utf-8") as pages:
            bodies = re.findall("<text[^>]*>([^<]*)</text>", pages.read())
        for number, body in enumerate(bodies):
            text = re.sub(r"\[\[(?:[^|\]]*\|)?([^\]]*)\]\]", r"\1", html.unescape(body))
            text = re.sub(r"<ref[^>]*/>|<ref.*?</ref>", " ", text, flags=re.DOTALL)
            found.append((f"wikipedia/{number}", text.replace("'''", "")))
    return found


def plant(items: Sequence[Row], number: int, rng: random.Random) -> list[Case]:
    """`number` cases of every kind, from items of at least 13 words; exact short ones apart; half of all Chinese kinds
    come from the Chinese sets."""
    words = [len(t.split()) for t in eval_items.normalized([row["text"] for row in items], "script")]
    by_set: dict[str, list[int]] = {}
    for place, row in enumerate(items):
        by_set.setdefault(row["set"], []).append(place)
    cases = []

    def draw(kind: str, change: Change, fits: Callable[[int], bool], chinese: bool) -> None:
        pool = [s for s in by_set if (items[by_set[s][0]]["lang"] == "zh") == chinese]
        made = tries = 0
        while made < number and tries < 50 * number:
            tries += 1
            place = rng.choice(by_set[rng.choice(pool)])
            if not fits(words[place]):
                continue
            text = change(items[place], rng)
            if text:
                cases.append(Case(kind, f"{items[place]['set']}/{items[place]['id']}", text))
                made += 1

    for kind, change in KINDS.items():
        draw(kind, change, lambda n: n >= 13, False)
        draw(f"Chinese: {kind}", change, lambda n: n >= 13, True)
    draw("8 to 12 words, exact", KINDS["exact"], lambda n: 8 <= n < 13, False)
    draw("8 to 12 words, with answer", with_answer, lambda n: 8 <= n < 13, False)
    return cases


def boilerplate(items: Sequence[Row], rng: random.Random, number: int) -> list[Case]:
    """What stands in many items of a set and in no one's mind is an item: their templates; and licence, phrases."""
    cases = [Case("licence text, common phrases", None, text) for text in (LICENCE, *PHRASES)]
    grams: dict[str, list[str]] = {}
    for row in items:
        grams.setdefault(row["set"], []).append(row["text"])
    templates = []
    for texts in grams.values():
        if len(texts) < 60:
            continue
        split = [set(re.findall(r"[^.?!:\n。？]+[.?!:\n。？]", text)) for text in rng.sample(texts, 60)]
        counts: dict[str, int] = {}
        for sentences in split:
            for sentence in sentences:
                counts[sentence] = counts.get(sentence, 0) + 1
        shared = [s for s, n in sorted(counts.items()) if n >= 30]
        if shared and sum(len(s.split()) for s in shared) >= 13:
            templates.append("".join(shared))
    cases += [Case("templates and instructions of the sets", None, text) for text in templates]
    return cases


def quotation(texts: pa.LargeStringArray) -> dict[str, int]:
    """An item that is mostly a licence notice: how many documents with the notice, which lack its question, are
    flagged, without and with the counts of common n-grams."""
    begin = "Permission is granted to copy, distribute and/or modify this document under the terms of the GNU Free"
    normal = eval_items.normalized([begin], "script")[0]
    rows = [t.as_py() for t in texts if begin[:40] in t.as_py()]
    with_notice = [t for t, n in zip(rows, eval_items.normalized(rows, "script"), strict=True) if normal in n]
    if not with_notice:
        return {"documents": 0, "plain": 0, "counted": 0}
    at = re.search(r"Permission\s+is\s+granted\s+to\s+copy,\s+distribute", with_notice[0])
    assert at is not None
    question = "Given this notice, may a baker in Ghent print the manual on the inside of her paper bags?"
    item = f"{with_notice[0][at.start() : at.start() + 420]}\n{question}"
    items = eval_items.distinct_items([("quotations", [("1", item, None)])])
    plain = indexes.make(items)
    counts = np.zeros(len(plain.grams), np.int64)
    stages.count(plain, texts, counts)
    counted = indexes.make(items, common=stages.common_table(plain, counts))
    flagged = [
        sum(bool(hits) and hits[0].score >= PRESET for hits in search_texts(index, texts.to_pylist()))
        for index in (plain, counted)
    ]
    whole = search_texts(counted, [f"{PHRASES[0]}\n{item}\n{PHRASES[1]}"])[0]
    score = round(whole[0].score, 3) if whole else 0
    return {"documents": len(with_notice), "plain": flagged[0], "counted": flagged[1], "planted_score": score}


class PlainRules:
    """The rules that papers use, each as few lines as it takes."""

    def __init__(self, texts: pa.LargeStringArray, corpus: pa.LargeStringArray, items: pa.Table) -> None:
        long = np.diff(kernels.shingles(texts, 13)[0]) > 0
        lengths = np.array([t.as_py().count(" ") + 1 for t in texts])
        grams = kernels.shingles(texts.filter(pa.array(long & (lengths >= 13))), 13)[1]
        self.any = kernels.ngram_table(grams)
        offsets, values = kernels.shingles(corpus, 13)
        rows = candidates_of(corpus, self.any)
        known = np.unique(grams)
        seen = [np.intersect1d(values[offsets[r] : offsets[r + 1]], known) for r in rows]
        common, counts = np.unique(np.concatenate([*seen, np.zeros(0, np.uint64)]), return_counts=True)
        self.gpt3 = kernels.ngram_table(np.setdiff1d(known, common[counts > 10]))
        self.palm = indexes.make(items.filter(pa.array(lengths >= 13)), 8, most_items=len(items))

    def flagged(self, texts: pa.LargeStringArray) -> dict[str, np.ndarray]:
        palm = np.zeros(len(texts), bool)
        index = self.palm
        rows = candidates(index, texts)
        for row, normal in zip(rows.tolist(), normals(index, texts.take(pa.array(rows))), strict=True):
            found = np.unique(seeds(index, index.numbers(normal))[1])
            posts = [index.posted[index.posts[g] : index.posts[g + 1]] for g in found.tolist()]
            if not posts:
                continue
            item, hits = np.unique(np.concatenate(posts), return_counts=True)
            sizes = np.diff(index.starts)[item] - 7
            palm[row] = bool(np.any(hits >= 0.7 * sizes))
        return {
            "any 13-gram": kernels.ngram_hits(texts, self.any, 13) > 0,
            "GPT-3": kernels.ngram_hits(texts, self.gpt3, 13) > 0,
            "PaLM": palm,
        }


def with_eight(index: indexes.Index, texts: Sequence[str]) -> np.ndarray:
    """The score from seeds of 8 words in place of 13 (`decontaminate.ngram: 8`)."""
    found = search_texts(index, texts)
    return np.array([bool(hits) and hits[0].score >= PRESET for hits in found])


def candidates_of(texts: pa.LargeStringArray, table: np.ndarray) -> list[int]:
    return np.flatnonzero(kernels.ngram_hits(texts, table, 13) > 0).tolist()


def measure(data: Path, quick: bool, alarms: bool) -> dict[str, Any]:
    rng = random.Random(SEED)
    rows = read_items(data)
    if quick:
        rows = rows[::10]
    by_set: dict[str, list[eval_items.Row]] = {}
    for row in rows:
        by_set.setdefault(row["set"], []).append((row["id"], row["text"], eval_items.answer_text(row["answer"])))
    items = eval_items.distinct_items(list(by_set.items()))
    corpus = read_corpus(data, quick)
    texts = pa.array([text for _, text in corpus], pa.large_string())
    size = sum(len(text.encode()) for _, text in corpus)

    began = time.process_time()
    plain_index = indexes.make(items)
    making = time.process_time() - began
    counts = np.zeros(len(plain_index.grams), np.int64)
    stages.count(plain_index, texts, counts)
    index = indexes.make(items, common=stages.common_table(plain_index, counts))
    began = time.process_time()
    clean = search_texts(index, texts.to_pylist())
    searching = time.process_time() - began
    rules = PlainRules(items.column("text").combine_chunks(), texts, items)

    places = [place for place, (_, text) in enumerate(corpus) if 2_000 < len(text) < 20_000 and not clean[place]]
    number = 10 if quick else 100
    cases = plant(rows, number, rng) + boilerplate(rows, rng, number)
    planted = []
    for case in cases:
        host = corpus[rng.choice(places)][1]
        ends = [m.end() for m in re.finditer(r"\n+", host)] or [len(host)]
        at = rng.choice(ends)
        planted.append(host[:at] + case.text + "\n" + host[at:])
    hits = search_texts(index, planted)
    flags = rules.flagged(pa.array(planted, pa.large_string()))
    clean_flags = rules.flagged(texts)
    score = np.array([found[0].score if found else 0.0 for found in hits])
    clean_score = np.array([found[0].score if found else 0.0 for found in clean])
    flags = {**{f"score >= {t}": score >= t for t in THRESHOLDS}, **flags}
    clean_flags = {**{f"score >= {t}": clean_score >= t for t in THRESHOLDS}, **clean_flags}
    eight = indexes.make(items, 8)
    flags[EIGHT], clean_flags[EIGHT] = (with_eight(eight, some) for some in (planted, texts.to_pylist()))

    table = []
    for kind in dict.fromkeys(case.kind for case in cases):
        chosen = np.array([case.kind == kind for case in cases])
        total = int(chosen.sum())
        real = next(case for case in cases if case.kind == kind).item is not None
        found = {name: int(flag[chosen].sum()) for name, flag in flags.items()}
        interval = wilson if real else clopper_pearson
        table.append(
            {
                "kind": kind,
                "what": "recall" if real else "false alarms",
                "cases": total,
                "found": found,
                "interval": [round(x, 3) for x in interval(found[f"score >= {PRESET}"], total)],
            }
        )
    other = [] if quick else read_others(data)
    other_texts = [text for _, text in other]
    other_hits = search_texts(index, other_texts)
    other_flags = rules.flagged(pa.array(other_texts, pa.large_string()))
    other_score = np.array([found[0].score if found else 0.0 for found in other_hits])
    other_flags = {**{f"score >= {t}": other_score >= t for t in THRESHOLDS}, **other_flags}
    other_flags[EIGHT] = with_eight(eight, other_texts)
    for kind, every, docs in (
        ("documentation and web pages, nothing planted", clean_flags, corpus),
        ("posts, novels, encyclopedia, nothing planted", other_flags, other),
    ):
        flagged = {name: int(flag.sum()) for name, flag in every.items()}
        interval = clopper_pearson(flagged[f"score >= {PRESET}"], len(docs))
        body = {"kind": kind, "what": "flagged", "cases": len(docs), "found": flagged}
        table.append({**body, "interval": [round(x, 5) for x in interval]})
    seen = []
    for docs, found, every in ((corpus, clean, clean_flags), (other, other_hits, other_flags)):
        for place in range(len(docs)):
            named = [name for name, flag in every.items() if flag[place]]
            if not named and not found[place]:
                continue
            best = found[place][0] if found[place] else None
            seen.append(
                {
                    "document": docs[place][0],
                    "rules": named,
                    "score": round(best.score, 3) if best else 0.0,
                    "item": index.names[best.item][0] if best else None,
                    "shown": index.shown[best.item][:200] if best else None,
                }
            )
    for case, value in zip(cases, score.tolist(), strict=True):
        if case.item is None and value >= 0.5:
            seen.append({"document": f"planted: {case.kind}", "score": round(value, 3), "shown": case.text[:200]})
    return {
        "table": table,
        "items": len(items),
        "ngrams": len(index.grams),
        "documents": len(corpus),
        "megabytes": round(size / 1e6, 1),
        "index_seconds": round(making, 1),
        "search_mb_per_s": round(size / 1e6 / searching, 1),
        "quotation": quotation(texts),
        "alarms": seen if alarms else len(seen),
    }


def show(result: dict[str, Any]) -> None:
    names = list(result["table"][0]["found"])
    print(f"| {'case':44} | cases | " + " | ".join(f"{n:>12}" for n in names) + f" | 95% at {PRESET} |")
    print("|" + " --- |" * (len(names) + 3))
    for row in result["table"]:
        low, high = row["interval"]
        numbers = " | ".join(f"{row['found'][name]:>12}" for name in names)
        print(f"| {row['kind']:44} | {row['cases']:5} | {numbers} | {low} to {high} |")
    print(
        f"\n{result['items']:,} items, {result['ngrams']:,} n-grams, made in {result['index_seconds']} s of CPU; "
        f"{result['documents']:,} documents, {result['megabytes']} MB, "
        f"searched at {result['search_mb_per_s']} MB/s of CPU"
    )
    print(f"an item that quotes a licence: {result['quotation']}")
    if isinstance(result["alarms"], list):
        for alarm in result["alarms"]:
            print(json.dumps(alarm, ensure_ascii=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TAMIS_DATA"))
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alarms", action="store_true", help="also print every unplanted document with a match")
    arguments = parser.parse_args()
    if arguments.data is None:
        sys.exit("name the data: --data DIR or TAMIS_DATA")
    result = measure(Path(arguments.data), arguments.quick, arguments.alarms)
    if arguments.json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        show(result)


if __name__ == "__main__":
    main()
