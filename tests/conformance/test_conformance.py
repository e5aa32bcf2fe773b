"""Dialects decide as the packages do whose names they bear.

`expected.json` holds what datatrove 0.10.1, dolma 1.2.1 and the definitions of DCLM and RedPajama-v2 decided on a part
of the real documents (hashes of texts and booleans), as `benchmarks/conformance.py --expected` wrote it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text())
# At least this share of documents decided alike by the whole preset. What the presets' titles say is of all
# documents of the samples; these are a fourth of them.
STATED = {
    "gopher@dolma": 1.0,
    "redpajama-v2": 1.0,
    "gopher@dclm~": 1.0,
    "gopher@datatrove-0.10~": 0.98,
    "fineweb@datatrove-0.10~": 0.98,
    "fineweb2@v1~": 0.95,
}
# No rule of a preset may disagree more often than this, so that errors cannot cancel out.
ANY_RULE = {"gopher@datatrove-0.10~": 0.97, "fineweb@datatrove-0.10~": 0.97, "fineweb2@v1~": 0.92}


@pytest.fixture(scope="module")
def conformance() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("conformance")
    sys.path.remove(str(ROOT / "benchmarks"))
    for name in [name for name in sys.modules if name == "conformance" or name.split(".")[0] == "peers"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def texts(conformance: Any, data_dir: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = conformance.samples(data_dir, conformance.PART)
    return found


def said(value: str) -> bool | None:
    return None if value == "-" else value == "1"


@pytest.mark.parametrize("sample", sorted(EXPECTED))
def test_decides_as_the_peers_did(sample: str, conformance: Any, texts: dict[str, list[str]]) -> None:
    by_hash = {conformance.hash_of(text): text for text in texts[sample]}
    wanted = EXPECTED[sample]
    here = [number for number, name in enumerate(wanted["documents"]) if name in by_hash]
    # Another version of the extractor gives some pages other texts; what was decided on them says nothing.
    assert len(here) > len(wanted["documents"]) / 2
    known = [by_hash[wanted["documents"][number]] for number in here]
    answers = {
        preset: {rule: [said(values[number]) for number in here] for rule, values in rules.items()}
        for preset, rules in wanted["kept"].items()
    }
    rows = conformance.compare(sample, known, answers)
    assert {row.preset for row in rows} <= set(STATED)
    for row in rows:
        least = STATED[row.preset] if row.rule == "all" else ANY_RULE.get(row.preset, 1.0)
        assert row.agreement >= least, row


@pytest.mark.slow
def test_peers_say_what_is_written_down(conformance: Any, texts: dict[str, list[str]], tmp_path: Path) -> None:
    """Runs the packages themselves on a few documents."""
    folder = Path(os.environ.get("TAMIS_PEERS", ROOT / ".peers"))
    for name in ("datatrove", "dolma"):
        if not (folder / name / "requirements.txt").exists():
            pytest.skip(f"no environment of {name} in {folder}: run benchmarks/conformance.py, or set TAMIS_PEERS")
    for sample in ("web", "prose"):
        written_down = EXPECTED[sample]["documents"]
        part = [text for text in texts[sample] if len(text) < 8_000 and conformance.hash_of(text) in written_down][:5]
        assert part
        at = [written_down.index(conformance.hash_of(text)) for text in part]
        for make, script in (
            (lambda _: folder / "datatrove/bin/python", "datatrove_rules.py"),
            (lambda _: folder / "dolma/bin/python", "dolma_rules.py"),
        ):
            answers = conformance._ask(make, script, part, tmp_path)
            for preset, rules in answers.items():
                for rule, values in rules.items():
                    written = EXPECTED[sample]["kept"][preset][rule]
                    assert values == [said(written[number]) for number in at], (preset, rule)
