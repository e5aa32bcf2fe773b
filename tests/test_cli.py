"""The command line: exit codes, errors without a traceback, JSON alone on standard output."""

import json
import random
import subprocess
import sys

import pytest

from command_line import process, tamis
from tamis import __version__

VERBS = ["demo", "run", "check", "why", "what-if", "rules", "report", "diff", "doctor"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A workspace of forty small documents of two kinds."""
    folder = tmp_path_factory.mktemp("cli")
    draw = random.Random(7)
    known = [
        "the",
        "of",
        "and",
        "with",
        *(f"{a}{b}" for a in ("stone", "river", "cloud") for b in "abcdefghijklmnopqrst"),
    ]
    rows = [
        {"text": " ".join(draw.choices(known, k=10 + 8 * i)).capitalize() + ".", "url": f"http://a.org/{i}"}
        for i in range(40)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = (
        "sources: [{name: rows, path: rows.jsonl}]\nrules: {use: [gopher@paper]}\ntokens: {tokenizer: {vocab: 512}}\n"
    )
    (folder / "rows.yaml").write_text(recipe)
    (folder / "loose.yaml").write_text(recipe.replace("rules: {", "name: loose\nrules: {set: {short: off}, "))
    for name in ("rows", "loose"):
        tamis("run", folder / f"{name}.yaml", "--work", folder / "work", "--workers", 1)
    return folder / "work"


def test_help_teaches_with_an_example():
    top = process("--help").stdout
    for verb in VERBS:
        assert verb in top
        assert "Example" in tamis(verb, "--help").stdout
    assert process("--version").stdout.strip() == f"tamis {__version__}"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "none.yaml"], 2, "no such recipe"),
        (["run", "rows.yaml", "--engine", "lokal"], 2, "did you mean local?"),
        (["check", "none.yaml"], 2, "no such recipe"),
        (["why", "00", "--work", "nowhere"], 2, "is no workspace"),
        (["what-if", "nonsense", "--work", "nowhere"], 2, "RULE=off"),
        (["why", "zzzz", "--work", "work"], 1, "zzzz"),
        (["what-if", "shrt=off", "--work", "work"], 2, "short"),
        (["what-if", "short=text.word > 3", "--work", "work"], 2, "did you mean text.words?"),
        (["rules", "--work", "work", "--corpus", "mian"], 2, "did you mean main?"),
        (["diff", "main", "lose", "--work", "work"], 2, "did you mean loose?"),
        (["doctor", "--work", "nowhere"], 2, "is no workspace"),
    ],
)
def test_errors_are_one_message_and_an_exit_code(work, arguments, code, words):
    done = tamis(*arguments, code=code, cwd=work.parent)
    assert words in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["why", "http://a.org/7"],
        ["what-if", "short=off"],
        ["rules"],
        ["rules", "--signals"],
        ["rules", "--presets"],
        ["report"],
        ["diff", "main", "loose"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_json_stands_alone_on_standard_output(work, arguments):
    done = tamis(*arguments, "--work", work, "--json")
    json.loads(done.stdout)
    assert tamis(*arguments, "--work", work).stdout.strip()


def test_a_run_says_what_it_does_on_standard_error_alone(work):
    done = process("run", work.parent / "rows.yaml", "--work", work, "--json")
    assert json.loads(done.stdout)["documents"] == 40
    assert "reused" in done.stderr
    assert "ledger" in done.stderr


def test_documents_without_a_url_go_by_their_file(work):
    (work.parent / "notes").mkdir()
    (work.parent / "notes/one.txt").write_text("A note of nine words that nobody would keep.")
    recipe = work.parent / "notes.yaml"
    recipe.write_text("sources: [{name: notes, path: notes}]\nrules: {use: [gopher@paper]}\ntokens: null\n")
    tamis("run", recipe, "--work", work.parent / "notes-work", "--workers", 1)
    for key in ("one.txt", "one.txt#0", str(work.parent / "notes/one.txt")):
        said = tamis("why", key, "--work", work.parent / "notes-work").stdout
        assert said.startswith("DROPPED by short")
        assert "one.txt#0" in said
    tamis("why", "two.txt", "--work", work.parent / "notes-work", code=1)


def test_whoever_stops_listening_does_not_stop_the_run(work, tmp_path):
    shell = f"{sys.executable} -m tamis run {work.parent / 'rows.yaml'} --work {tmp_path / 'piped'} -j 1 2>&1 | head -1"
    subprocess.run(["bash", "-c", shell], check=True, capture_output=True, timeout=300)
    assert (tmp_path / "piped/corpora/main/report.html").exists()


def test_nothing_kept_is_said_with_a_report(work, tmp_path):
    recipe = work.parent / "strict.yaml"
    recipe.write_text(
        (work.parent / "rows.yaml").read_text().replace("rules: {", "rules: {set: {none: text.words < 0}, ")
    )
    done = process("run", recipe, "--work", tmp_path / "strict", "--workers", 1, "--json", code=1)
    assert "keep no document" in json.loads(done.stdout)["error"]
    assert (tmp_path / "strict/corpora/main/report.html").exists()
    (work.parent / "bin.jsonl").write_bytes(b"\xff\xfe nonsense\n" * 5)
    recipe.write_text("sources: [{name: bin, path: bin.jsonl}]\ntokens: null\n")
    done = tamis("run", recipe, "--work", tmp_path / "bin", "--workers", 1, code=1)
    assert "no document came out of the sources: source.bad_json" in done.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("signals: {blocklists: {bad: none.txt}}", "none.txt: no such file"),
        ("tokens: {tokenizer: rows.yaml}", "rows.yaml is not a file of the `tokenizers` library"),
        ("mixture: {weights: {rows: -1}}", "mixture.weights.rows"),
        ("mixture: {weights: {rows: 0}}", "are all 0"),
    ],
)
def test_check_finds_what_a_run_would_miss_only_later(work, more, words):
    recipe = work.parent / "late.yaml"
    recipe.write_text(f"sources: [{{name: rows, path: rows.jsonl}}]\n{more}\n")
    assert words in tamis("check", recipe, code=2).stderr


def test_of_one_document_in_one_shard_is_spoken_in_the_singular(tmp_path):
    (tmp_path / "one.jsonl").write_text(json.dumps({"text": "One text of six short words."}) + "\n")
    (tmp_path / "one.yaml").write_text("sources: [{name: one, path: one.jsonl}]\ntokens: null\n")
    said = tamis("run", tmp_path / "one.yaml", "--work", tmp_path / "work", "--workers", 1).stderr
    assert "1 shard, 1 worker, seed" in said
    assert "0 of 1 shard already read" in said
    assert "1 record = 1 document + 0 that are none" in said
    verdicts = next(line for line in said.splitlines() if line.startswith("verdicts"))
    assert "kept 1  0m" in verdicts
    assert "1 documents" not in said
    what_if = tamis("what-if", "none=text.words < 0", "--work", tmp_path / "work", code=None)
    assert "1 documents" not in what_if.stdout.replace("of 1 documents", "")


def test_a_damaged_source_beside_a_good_one_is_named(work, tmp_path):
    (tmp_path / "good.jsonl").write_text((work.parent / "rows.jsonl").read_text())
    (tmp_path / "bad.parquet").write_bytes(b"PAR1" + b"\0" * 100)
    recipe = tmp_path / "both.yaml"
    recipe.write_text("sources: [{name: good, path: good.jsonl}, {name: bad, path: bad.parquet}]\ntokens: null\n")
    said = tamis("run", recipe, "--work", tmp_path / "work", "--workers", 1).stderr
    assert "warning: bad.parquet is damaged: source.bad_file 1" in said
    assert f"{tmp_path}/work/losses lists each with its file and offset" in said
    assert "good.jsonl is damaged" not in said


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("signals:\n  words: {fine: {path: words.txt}, bad: {path: none.txt}}\n", "4: signals.words.bad.path"),
        ("signals:\n  words: {fine: {path: words.txt}}\n  harm:\n    bad: none.model\n", "6: signals.harm.bad"),
        ("signals:\n  quality:\n    bad: none.model\n", "5: signals.quality.bad"),
        ("signals:\n  perplexity:\n    bad: none.arpa\n", "5: signals.perplexity.bad"),
        ("signals:\n  blocklists:\n    bad: none.txt\n", "5: signals.blocklists.bad"),
        ("signals:\n  groups: [finewb2]\n", "4: signals.groups"),
        ("decontaminate:\n  sets:\n  - name: a\n    path: none.jsonl\n", "6: decontaminate.sets.0.path"),
        ("extend:\n- none.py\n", "4: extend.0"),
        ("tokens:\n  tokenizer: none.json\n", "4: tokens.tokenizer"),
    ],
)
def test_a_missing_file_is_an_error_of_its_line(tmp_path, more, place):
    recipe = tmp_path / "missing.yaml"
    (tmp_path / "rows.jsonl").write_text('{"text": "words"}\n')
    (tmp_path / "words.txt").write_text("word\n")
    recipe.write_text(f"sources:\n- {{name: rows, path: rows.jsonl}}\n{more}")
    for command in (["check", recipe], ["run", recipe, "--work", tmp_path / "work"]):
        assert f"{recipe}:{place}" in tamis(*command, code=2).stderr


def test_doctor_finds_a_flipped_byte(work, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", work, copy], check=True)
    assert json.loads(tamis("doctor", "--work", copy, "--json").stdout)["damaged"] == []
    damaged = copy / "signals/text/00000.parquet"
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    done = tamis("doctor", "--work", copy, code=1)
    assert "signals/text/00000.parquet" in done.stdout
    assert f"tamis doctor --work {copy} --repair" in done.stderr
    assert "--repair" not in tamis("doctor", "--work", copy, "--repair").stderr  # it succeeds
    tamis("run", work.parent / "rows.yaml", "--work", copy, "--workers", 1)
    assert json.loads(tamis("doctor", "--work", copy, "--json").stdout)["damaged"] == []
    assert damaged.read_bytes() == (work / "signals/text/00000.parquet").read_bytes()
