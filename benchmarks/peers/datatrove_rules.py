"""datatrove: every rule of its Gopher and FineWeb filters by itself, over texts. Prints one JSON object.

    python datatrove_rules.py TEXTS.jsonl [CONFIGS.json]

TEXTS has one JSON string a line; with CONFIGS (limits and stop words per language, and one index or null per text)
the filters run as FineWeb2's pipeline runs them. The answer is preset -> rule -> list of kept (true), dropped (false)
or not asked (null). A rule stands alone by switching off all others of its filter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    fineweb_quality_filter,
    gopher_repetition_filter,
)
from datatrove.utils.text import split_into_words
from loguru import logger

NO_QUALITY: dict[str, Any] = {
    "min_doc_words": None, "max_doc_words": None, "min_avg_word_length": None, "max_avg_word_length": None,
    "max_symbol_word_ratio": None, "max_bullet_lines_ratio": None, "max_ellipsis_lines_ratio": None,
    "max_non_alpha_words_ratio": None, "min_stop_words": None,
}  # fmt: skip
NO_REPETITION: dict[str, Any] = {
    "dup_line_frac": None, "dup_para_frac": None, "dup_line_char_frac": None, "dup_para_char_frac": None,
    "top_n_grams": (), "dup_n_grams": (),
}  # fmt: skip
NO_FINEWEB: dict[str, Any] = {
    "line_punct_thr": -1.0, "short_line_thr": 2.0, "char_duplicates_ratio": 2.0, "new_line_ratio": float("inf"),
}  # fmt: skip
TOPS, DUPLICATES = ((2, 0.2), (3, 0.18), (4, 0.16)), ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))

UNWORDED: set[str] = set()


def gopher(language: str = "eng_Latn") -> dict[str, Any]:
    def quality(**settings: Any) -> Any:
        return GopherQualityFilter(**{**NO_QUALITY, **settings}, language=language)

    def repetition(**settings: Any) -> Any:
        return GopherRepetitionFilter(**{**NO_REPETITION, **settings}, language=language)

    return {
        "dup_paragraphs": repetition(dup_para_frac=0.3),
        "dup_paragraph_chars": repetition(dup_para_char_frac=0.2),
        "dup_lines": repetition(dup_line_frac=0.3),
        "dup_line_chars": repetition(dup_line_char_frac=0.2),
        **{f"top_{n}": repetition(top_n_grams=((n, limit),)) for n, limit in TOPS},
        **{f"dup_{n}": repetition(dup_n_grams=((n, limit),)) for n, limit in DUPLICATES},
        "short": quality(min_doc_words=50),
        "long": quality(max_doc_words=100_000),
        "mean_word": quality(min_avg_word_length=3, max_avg_word_length=10),
        # Its one setting covers # and ellipses, which Tamis names apart.
        "hashes+ellipses": quality(max_symbol_word_ratio=0.1),
        "bullets": quality(max_bullet_lines_ratio=0.9),
        "ellipsis_lines": quality(max_ellipsis_lines_ratio=0.3),
        "alpha_words": quality(max_non_alpha_words_ratio=0.8),
        "stop_words": quality(min_stop_words=2),
    }


def fineweb() -> dict[str, Any]:
    return {
        "empty": FineWebQualityFilter(**NO_FINEWEB),
        "line_punct": FineWebQualityFilter(**{**NO_FINEWEB, "line_punct_thr": 0.12}),
        "short_lines": FineWebQualityFilter(**{**NO_FINEWEB, "short_line_thr": 0.67}),
        "repeated_lines": FineWebQualityFilter(**{**NO_FINEWEB, "char_duplicates_ratio": 0.01}),
        "list_ratio": FineWebQualityFilter(**{**NO_FINEWEB, "new_line_ratio": 0.3}),
    }


def words(text: str, language: str) -> list[str]:
    """datatrove's words; for languages whose analysers are not installed, white-space tokens: only rules on lines are
    asked of them, and the filters cut words whether they need them or not."""
    if language in UNWORDED:
        return text.split()
    return list(split_into_words(text, language))


def has_words(language: str) -> bool:
    """Whether what datatrove cuts the words of a language with is installed."""
    try:
        split_into_words("a", language)
    except ImportError:
        return False
    return True


def fineweb2(known: dict[str, Any]) -> dict[str, Any]:
    language, limits = known["config"], known["limits"]
    worded = known["words"] and has_words(language)
    if not worded:
        UNWORDED.add(language)

    def repetition(**settings: Any) -> Any:
        return GopherRepetitionFilter(**{**NO_REPETITION, **settings}, language=language)

    def lines(**settings: Any) -> Any:
        return FineWebQualityFilter(**{**NO_FINEWEB, **settings}, language=language)

    def quality(**settings: Any) -> Any:
        return GopherQualityFilter(**{**NO_QUALITY, **settings}, language=language)

    found = {
        "dup_lines": repetition(dup_line_frac=limits["dup_lines"]),
        "line_punct": lines(line_punct_thr=limits["line_punct"]),
        "repeated_lines": lines(char_duplicates_ratio=0.1),
    }
    if worded:
        found |= {f"top_{n}": repetition(top_n_grams=((n, limits[f"top_{n}"]),)) for n, _ in TOPS}
        found |= {f"dup_{n}": repetition(dup_n_grams=((n, limits[f"dup_{n}"]),)) for n, _ in DUPLICATES}
        found |= {
            "list_ratio": lines(new_line_ratio=limits["list_ratio"]),
            "short": quality(min_doc_words=50),
            "mean_word": quality(
                min_avg_word_length=limits["min_mean_word"], max_avg_word_length=limits["max_mean_word"]
            ),
            "hashes+ellipses": quality(max_symbol_word_ratio=0.1),
            "alpha_words": quality(max_non_alpha_words_ratio=limits["alpha_tokens"]),
            "stop_words": quality(min_stop_words=2, stop_words=known["stop_words"]),
        }
    return found


def decide(filters: dict[str, Any], text: str) -> dict[str, bool]:
    """Each filter by itself; the words of a text are kept by datatrove between them."""
    found = {}
    for name, step in filters.items():
        try:
            found[name] = step.filter(Document(text=text, id="0")) is True
        except ZeroDivisionError:  # no words, or no lines: the filters expect no such text, and end
            found[name] = False
    return found


def without_lines(text: str) -> str:
    """The text behind C4's line rules, which FineWeb's pipeline runs before its own filter."""
    document = Document(text=text, id="0")
    C4QualityFilter(
        filter_no_terminal_punct=False, min_num_sentences=-1, filter_lorem_ipsum=False, filter_curly_bracket=False
    ).filter(document)
    return str(document.text)


def columns(rows: list[dict[str, bool]]) -> dict[str, list[bool | None]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def main() -> None:
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    texts = list(map(json.loads, Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")[:-1]))
    if len(sys.argv) > 2:
        fineweb_quality_filter.split_into_words = gopher_repetition_filter.split_into_words = words
        given = json.loads(Path(sys.argv[2]).read_text())
        filters = [fineweb2(known) for known in given["languages"]]
        rows = [
            {} if number is None else decide(filters[number], text)
            for text, number in zip(texts, given["of"], strict=True)
        ]
        print(json.dumps({"fineweb2@v1~": columns(rows)}))
        return
    quality, web = gopher(), fineweb()
    rows = []
    for text in texts:
        found = decide(quality, text)
        found |= {f"web {name}": kept for name, kept in decide(web, without_lines(text)).items()}
        rows.append(found)
    found = columns(rows)
    print(
        json.dumps(
            {
                "gopher@datatrove-0.10~": {name: kept for name, kept in found.items() if not name.startswith("web ")},
                "fineweb@datatrove-0.10~": {name[4:]: kept for name, kept in found.items() if name.startswith("web ")},
            }
        )
    )


if __name__ == "__main__":
    main()
