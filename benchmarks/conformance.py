"""Dialects beside the packages whose names they bear: rule by rule, document by document.

    python benchmarks/conformance.py --data DATA [--peers .peers] [--json] [--expected tests/conformance/expected.json]

Runs datatrove 0.10 and dolma 1.2.1, each in an environment of its own that is made below `--peers` if it is not
there, and the plain Python definitions of DCLM and RedPajama-v2 (which are not on PyPI), over real texts: every page
of `web/pages.warc.gz` as Tamis extracts it, 150 English and 150 other documents, and up to 40 documents of each
language for FineWeb2. Prints, for every rule and for the whole preset, documents, both keep, both drop, only Tamis
drops, only the peer drops, agreement. The peers' answers are kept beside their environments, so that a change of
Tamis is compared again in seconds. `--expected` writes their decisions on a part of the documents, named by hashes of
their texts, for the tests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from peers import environment
from tamis.clean.extract import ExtractOptions, extract
from tamis.signals import GROUPS
from tamis.signals.fineweb2 import ANALYSED, thresholds
from tamis.sources import Record, SourceSpec, plan, read
from tamis.verdicts.rules import load_rules
from tamis.verdicts.texts import batches, failed, kept, signals_of

HERE = Path(__file__).parent
LONGEST = 40_000  # characters of a document of the samples of prose; uniseg takes minutes for a megabyte
PER_LANGUAGE = 40
PART = 4  # every so many documents stand in the tests' file
Answers = dict[str, dict[str, list[bool | None]]]


@dataclass(frozen=True)
class Agreement:
    """One rule, or `all` of them, of one preset on one sample."""

    preset: str
    sample: str
    rule: str
    documents: int
    both_keep: int
    both_drop: int
    only_tamis: int
    only_peer: int

    @property
    def agreement(self) -> float:
        return (self.both_keep + self.both_drop) / self.documents if self.documents else 1.0


def web(data: Path, every: int = 1) -> list[str]:
    """The text of every page, or of every so many, as Tamis extracts it."""
    texts = []
    for split in plan(SourceSpec("web", [str(data / "web/pages.warc.gz")], None, {}), 1 << 30):
        for number, record in enumerate(record for record in read(split) if isinstance(record, Record)):
            if number % every == 0:
                found = extract(record.payload, record.kind, record.charset, record.mime, ExtractOptions())
                if found.text:
                    texts.append(found.text)
    return texts


def prose(data: Path, name: str, count: int) -> list[str]:
    """Documents spread evenly over one of the samples of prose."""
    column = pq.read_table(data / f"text/{name}.parquet", columns=["text"]).column("text")
    texts = [text for text in column.to_pylist() if text and len(text) < LONGEST]
    return texts[:: len(texts) // count][:count]


def languages(data: Path) -> list[str]:
    """The first documents of each language of the multilingual sample, as its labels have it."""
    table = pq.read_table(data / "text/multilingual.parquet", columns=["text", "lang"])
    seen: dict[str, list[str]] = {}
    for text, lang in zip(table.column("text").to_pylist(), table.column("lang").to_pylist(), strict=True):
        if text and len(text) < LONGEST:
            seen.setdefault(lang, []).append(text)
    return [text for lang in sorted(seen) for text in seen[lang][:PER_LANGUAGE]]


def samples(data: Path, every: int = 1) -> dict[str, list[str]]:
    """All documents of each sample, or every so many of them."""
    return {
        "web": web(data, every),
        "prose": (prose(data, "english", 150) + prose(data, "multilingual", 150))[::every],
        "languages": languages(data)[::every],
    }


def peers_say(texts: dict[str, list[str]], folder: Path) -> dict[str, Answers]:
    """What the peers decide: sample -> preset -> rule -> kept, or null where a rule is not asked."""
    out: dict[str, Answers] = {}
    for sample in ("web", "prose"):
        out[sample] = {
            **_ask(environment.datatrove, "datatrove_rules.py", texts[sample], folder),
            **_ask(environment.dolma, "dolma_rules.py", texts[sample], folder),
        }
    out["languages"] = _ask(
        environment.datatrove, "datatrove_rules.py", texts["languages"], folder, _configs(texts["languages"])
    )
    return out


def _configs(texts: list[str]) -> dict[str, Any]:
    table = thresholds()
    names = sorted(table)
    codes: list[str | None] = []
    for records in batches(texts):
        codes += signals_of(records, [GROUPS["lang"]])["lang"].column("code").to_pylist()
    known = [
        {
            "config": table[name].config,
            "limits": dict(table[name].limits),
            "stop_words": list(table[name].stop_words),
            "words": name not in ANALYSED,
        }
        for name in names
    ]
    return {"languages": known, "of": [names.index(code) if code in table else None for code in codes]}


def _ask(make: Any, script: str, texts: list[str], folder: Path, configs: dict[str, Any] | None = None) -> Answers:
    """One peer's script over texts; its answer is kept under a hash of the script and of what it was given."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    given = json.dumps(configs, sort_keys=True)
    parts = [lines, given, (HERE / "peers" / script).read_text(), (HERE / "peers" / "definitions.py").read_text()]
    key = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
    answers = folder / "answers" / f"{script.removesuffix('.py')}-{key}.json"
    if not answers.exists():
        answers.parent.mkdir(parents=True, exist_ok=True)
        (answers.parent / "texts.jsonl").write_text(lines, encoding="utf-8")
        command = [str(make(folder)), str(HERE / "peers" / script), str(answers.parent / "texts.jsonl")]
        if configs is not None:
            (answers.parent / "configs.json").write_text(given)
            command.append(str(answers.parent / "configs.json"))
        print(f"running {script} on {len(texts)} texts", file=sys.stderr)
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        answers.write_text(said)
    found: Answers = json.loads(answers.read_text())
    return found


def compare(sample: str, texts: list[str], answers: Answers) -> list[Agreement]:
    """Tamis beside the peers on one sample. A rule "a+b" of a peer is both of Tamis's."""
    out = []
    for preset, said in answers.items():
        rules = load_rules([preset], {})
        ours = kept(rules, failed(rules, texts, everywhere=True))  # as the peers, who ask no language
        whole = [np.ones(len(texts), bool), np.ones(len(texts), bool)]
        any_asked = np.zeros(len(texts), bool)
        for rule, values in said.items():
            asked = np.array([value is not None for value in values], bool)
            theirs = np.array([value is not False for value in values], bool)
            mine = np.logical_and.reduce([ours[name] for name in rule.split("+")])
            out.append(_count(preset, sample, rule, mine[asked], theirs[asked]))
            whole = [whole[0] & (mine | ~asked), whole[1] & theirs]
            any_asked |= asked
        out.append(_count(preset, sample, "all", *(side[any_asked] for side in whole)))
    return out


def _count(preset: str, sample: str, rule: str, mine: np.ndarray, theirs: np.ndarray) -> Agreement:
    sides = (mine & theirs, ~mine & ~theirs, ~mine & theirs, mine & ~theirs)
    return Agreement(preset, sample, rule, len(mine), *(int(side.sum()) for side in sides))


def expected(texts: dict[str, list[str]], part: dict[str, list[str]], answers: dict[str, Answers]) -> dict[str, Any]:
    """The peers' decisions on a part of the documents: hashes of texts, and per rule a string of 1, 0 and - (null)."""
    body: dict[str, Any] = {}
    for sample, said in answers.items():
        at = [texts[sample].index(text) for text in part[sample]]
        body[sample] = {
            "documents": [hash_of(text) for text in part[sample]],
            "kept": {
                preset: {
                    rule: "".join("-" if values[i] is None else str(int(bool(values[i]))) for i in at)
                    for rule, values in rules.items()
                }
                for preset, rules in said.items()
            },
        }
    return body


def hash_of(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def table(rows: list[Agreement]) -> str:
    lines = ["| preset | sample | rule | documents | both keep | both drop | only Tamis | only the peer | agree |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        counts = (row.documents, row.both_keep, row.both_drop, row.only_tamis, row.only_peer)
        numbers = " | ".join(f"{count:,}" for count in counts)
        lines.append(f"| `{row.preset}` | {row.sample} | {row.rule} | {numbers} | {row.agreement:.2%} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of real test data")
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="where the peers' environments are")
    parser.add_argument("--expected", type=Path, help="write the peers' decisions on a part of the documents here")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    texts = samples(options.data)
    answers = peers_say(texts, options.peers)
    rows = [row for sample, said in answers.items() for row in compare(sample, texts[sample], said)]
    if options.expected:
        options.expected.parent.mkdir(parents=True, exist_ok=True)
        options.expected.write_text(
            json.dumps(expected(texts, samples(options.data, PART), answers), indent=0, sort_keys=True) + "\n"
        )
    if options.json:
        print(json.dumps({"rows": [{**asdict(row), "agreement": row.agreement} for row in rows]}, indent=1))
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
