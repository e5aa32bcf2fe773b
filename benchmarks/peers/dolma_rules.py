"""dolma's tagger gopher_v2, and the definitions of DCLM and RedPajama-v2 in plain Python, over texts.

    python dolma_rules.py TEXTS.jsonl

Prints one JSON object, preset -> rule -> list of kept. dolma is the package itself. DCLM and RedPajama are not on
PyPI: `definitions.py` states theirs in plain Python, word by word as their sources define them, on uniseg's words
(which dolma brings along) and NLTK's pattern.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import definitions
from dolma.core.data_types import Document
from dolma.core.registry import TaggerRegistry
from uniseg.wordbreak import words as uniseg_words

# configs/dolma-v1_5/mixing/cc-head.yaml; the plural in 2grams is the tagger's, the mixer's names lack it.
LIMITS: dict[str, list[tuple[str, str, float]]] = {
    "short": [("word_count", "<", 50)],
    "long": [("word_count", ">", 100_000)],
    "mean_word": [("median_word_length", "<", 3), ("median_word_length", ">", 10)],
    "hashes": [("symbol_to_word_ratio", ">", 0.1)],
    "alpha_words": [("fraction_of_words_with_alpha_character", "<", 0.8)],
    "stop_words": [("required_word_count", "<", 2)],
    "bullets": [("fraction_of_lines_starting_with_bullet_point", ">", 0.9)],
    "ellipsis_lines": [("fraction_of_lines_ending_with_ellipsis", ">", 0.3)],
    "dup_lines": [("fraction_of_duplicate_lines", ">", 0.3)],
    "dup_line_chars": [("fraction_of_characters_in_duplicate_lines", ">", 0.3)],
    **{f"top_{n}": [(f"fraction_of_characters_in_most_common_{n}grams", ">", v)] for n, v in definitions.TOPS},
    **{f"dup_{n}": [(f"fraction_of_characters_in_duplicate_{n}grams", ">", v)] for n, v in definitions.DUPLICATES},
}


def dolma(tagger: Any, text: str) -> dict[str, bool]:
    spans = tagger.predict(Document(source="", id="0", text=text)).spans
    values = {span.type: span.score for span in spans}
    kept = {}
    for name, limits in LIMITS.items():
        broken = [
            values[key] < limit if sign == "<" else values[key] > limit for key, sign, limit in limits if key in values
        ]
        kept[name] = not any(broken)
    return kept


def main() -> None:
    texts = list(map(json.loads, Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")[:-1]))
    tagger = TaggerRegistry.get("gopher_v2")()
    rows = {
        "gopher@dolma": [dolma(tagger, text) for text in texts],
        "gopher@dclm~": [definitions.dclm(text, list(uniseg_words(text))) for text in texts],
        "redpajama-v2": [definitions.redpajama(text) for text in texts],
    }
    print(json.dumps({preset: {name: [row[name] for row in of] for name in of[0]} for preset, of in rows.items()}))


if __name__ == "__main__":
    main()
