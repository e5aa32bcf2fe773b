"""Extensions: what a file may hold, what is refused, and a run that uses all three kinds."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import command_line
from command_line import Said
from tamis.extend import ExtensionError, find, load
from tamis.signals import extending
from tamis.sources import SourceError, own

EXAMPLE = Path(__file__).parent.parent / "examples" / "extending"


def written(folder: Path, body: str) -> str:
    path = folder / "mine.py"
    path.write_text("from tamis.extend import edit, signal, source\n" + body)
    return str(path)


def tamis(*arguments: object) -> Said:
    return command_line.tamis(*arguments, code=None)


def test_the_kinds_are_found_with_what_they_declare():
    found = {one.name: one for one in load(EXAMPLE / "mine.py")}
    assert [one.kind for one in found.values()] == ["signal", "edit", "source"]
    assert found["style.questions"].columns == {"questions": "float64"}
    assert found["style.questions"].description == "Sentences that end in a question mark."
    with pytest.raises(ExtensionError, match="no edit other; it has signatures"):
        find(EXAMPLE / "mine.py", "edit", "other")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("@signal('a.b', version=1)\ndef f(text): ...", "what it returns is not said"),
        ("@signal('a.b', version=0)\ndef f(text: str) -> int: ...", "version is 0"),
        ("@signal('a', version=1)\ndef f(text: str) -> int: ...", "GROUP.COLUMN"),
        ("@signal('A.b', version=1)\ndef f(text: str) -> int: ...", "small letters"),
        ("@signal('a', version=1, columns={'b': list})\ndef f(text): ...", "float, int, bool or str"),
        ("@edit('e', version=1)\ndef f(t): ...\n@edit('e', version=2)\ndef g(t): ...", "two edits are named e"),
        ("def f(:", "line 2: SyntaxError"),
        ("\n1 / 0", "line 3: ZeroDivisionError"),
    ],
)
def test_mistakes_are_named_with_their_file(tmp_path, body, words):
    with pytest.raises(ExtensionError, match=words) as caught:
        load(written(tmp_path, body))
    assert "mine.py" in str(caught.value)


def test_a_name_of_tamis_is_refused(tmp_path):
    path = written(tmp_path, "@signal('text.words', version=1)\ndef f(text: str) -> int: ...")
    with pytest.raises(ExtensionError, match="Tamis's own"):
        extending.extra_groups([path])


def test_an_overlapping_edit_is_refused(tmp_path):
    import pyarrow as pa

    path = written(tmp_path, "@edit('e', version=1)\ndef f(text): return [(0, 3, ''), (2, 4, '')]")
    (made,) = extending.edits([path], ["e"])
    with pytest.raises(ExtensionError, match="in order, without overlap"):
        made.editor(pa.array(["abcdef"], pa.large_string()))


def test_spans_in_characters_become_bytes(tmp_path):
    import pyarrow as pa

    from tamis.clean.edits import apply_edits

    path = written(tmp_path, "@edit('e', version=1)\ndef f(text): return [(1, 2, 'ß')] if len(text) > 1 else []")
    (made,) = extending.edits([path], ["e"])
    text = pa.array(["日本語", "x", "äöü"], pa.large_string())
    assert apply_edits(text, made.editor(text)).to_pylist() == ["日ß語", "x", "äßü"]


def test_a_run_with_all_three(tmp_path):
    work = tmp_path / "work"
    done = tamis("run", EXAMPLE / "recipe.yaml", "--work", work, "-j", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reasons"] == {"asks_too_much": 1}
    texts = [row for path in (work / "corpora/main/text").glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert len(texts) == 2
    assert not any("upper floor" in row["text"] for row in texts)
    receipt = json.loads(tamis("why", "9caa", "--work", work, "--json").stdout)
    assert "style.questions" in json.dumps(receipt)


def test_output_is_kept_until_the_version_changes(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "one two three"}) + "\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text("extend: [mine.py]\nsources: [{name: rows, path: rows.jsonl}]\ntokens: null\n")
    body = "@signal('own.n', version={version})\ndef f(text: str) -> int: return {value}\n"

    def measured(version: int, value: int) -> tuple[list[int], str]:
        written(tmp_path, body.format(version=version, value=value))
        done = tamis("run", recipe, "--work", tmp_path / "work", "-j", 1)
        assert done.returncode == 0, done.stderr
        known = json.loads((tmp_path / "work/tamis.json").read_text())["corpora"]["main"]["extras"][0]["folder"]
        (path,) = (tmp_path / "work/signals" / known).glob("*.parquet")
        return pq.read_table(path).column("n").to_pylist(), done.stderr

    assert measured(1, 5)[0] == [5]
    values, said = measured(1, 6)
    assert values == [5]
    assert "signal own.n was changed but its version was not" in said
    values, said = measured(2, 6)
    assert values == [6]
    assert "warning" not in said


def test_a_signal_that_raises_on_a_row_is_null_there(tmp_path):
    rows = [{"text": f"document {i}"} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    written(tmp_path, "@signal('own.n', version=1)\ndef f(text: str) -> int: return 1 // ('4' not in text)\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "extend: [mine.py]\nsources: [{name: rows, path: rows.jsonl}]\n"
        "rules: {set: {one: own.n = 1}}\ntokens: null\ndedup: {exact: false, minhash: null}\n"
    )
    done = tamis("run", recipe, "--work", tmp_path / "work", "-j", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] == 9  # what was not measured is not dropped
    assert "9 documents   not measured: own 1" in done.stderr
    assert "warning: the signals own failed on 1 of 9 documents: null there" in done.stderr
    (manifest,) = (tmp_path / "work/_done/signals").rglob("own@*/*.json")
    assert json.loads(manifest.read_text())["summary"]["failed"] == {"own": {"ZeroDivisionError": 1}}


def test_a_source_that_raises_says_where(tmp_path):
    (tmp_path / "in.txt").write_text("x")
    written(tmp_path, "@source('s', version=1)\ndef f(path):\n    yield {'text': 'a b'}\n    raise OSError('gone')\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text("extend: [mine.py]\nsources: [{name: rows, path: in.txt, reader: s}]\ntokens: null\n")
    done = tamis("run", recipe, "--work", tmp_path / "work", "-j", 1)
    assert done.returncode == 1
    assert "the source s raised OSError after 1 rows: gone" in done.stderr
    recipe.write_text(recipe.read_text().replace("reader: s", "reader: t"))
    done = tamis("run", recipe, "--work", tmp_path / "work", "-j", 1)
    assert done.returncode == 2
    assert "no file under `extend` has a source named t" in done.stderr


def test_a_row_that_is_none_is_a_loss_and_what_stands_behind_it_is_read(tmp_path):
    (tmp_path / "in.txt").write_text("x")
    body = "@source('s', version=1)\ndef f(path):\n    yield {'text': 'a'}\n    yield None\n    yield {'text': 'b'}\n"
    options = {"reader": "s", "reader_file": written(tmp_path, body)}
    first, lost, last = own.read_own(str(tmp_path / "in.txt"), "in.txt", 100, options)
    assert (first.payload, lost.reason, last.payload) == (b"a", "source.no_text", b"b")
    options["reader_file"] = written(tmp_path, "@source('s', version=1)\ndef f(path): pass\n")
    with pytest.raises(SourceError, match="raised TypeError after 0 rows"):
        list(own.read_own(str(tmp_path / "in.txt"), "in.txt", 100, options))


def test_a_file_may_define_classes(tmp_path):
    body = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom tamis.extend import signal\n"
    body += "@dataclass\nclass Size:\n    n: int = 2\n"
    body += "@signal('own.n', version=1)\ndef f(text: str) -> int: return Size().n\n"
    (tmp_path / "classes.py").write_text(body)
    (one,) = load(tmp_path / "classes.py")
    assert one.function("a") == 2


def test_an_edit_that_raises_is_named_with_the_text(tmp_path):
    import pyarrow as pa

    path = written(tmp_path, "@edit('e', version=1)\ndef f(text):\n    yield 0, 1, ''\n    raise KeyError('gone')\n")
    (made,) = extending.edits([path], ["e"])
    with pytest.raises(ExtensionError, match=r"edit e raised KeyError: 'gone', on a text of 6 char.* 'abcdef'"):
        made.editor(pa.array(["abcdef"], pa.large_string()))


def test_a_corpus_whose_own_edit_has_another_version_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "one two three"}) + "\n")
    body = "@edit('e', version={version})\ndef f(text): return [(0, 3, 'x' * {version})]\n"
    for name in ("main", "other"):
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\nextend: [mine.py]\nsources: [{{name: rows, path: rows.jsonl}}]\n"
            "clean: {edits: [e]}\ntokens: null\n"
        )
    written(tmp_path, body.format(version=1))
    assert tamis("run", tmp_path / "main.yaml", "--work", tmp_path / "work", "-j", 1).returncode == 0
    written(tmp_path, body.format(version=2))
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "work/edits").rglob("*.parquet"))
    done = tamis("run", tmp_path / "other.yaml", "--work", tmp_path / "work", "-j", 1)
    assert done.returncode == 2
    assert "own edits" in done.stderr
    assert before == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "work/edits").rglob("*.parquet"))


def test_verdicts_of_a_signal_that_is_being_made_again_are_withdrawn(tmp_path):
    rows = [{"text": f"document {i}", "url": f"http://a.org/{i}"} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.yaml").write_text(
        "extend: [mine.py]\nsources: [{name: rows, path: rows.jsonl}]\nrules: {set: {one: own.n = 1}}\ntokens: null\n"
    )
    run = ("run", tmp_path / "r.yaml", "--work", tmp_path / "work", "-j", 1)
    written(tmp_path, "@signal('own.n', version=1)\ndef f(text: str) -> int: return 1\n")
    assert tamis(*run).returncode == 0
    assert tamis("why", "http://a.org/3", "--work", tmp_path / "work").stdout.startswith("KEPT")
    written(tmp_path, "@signal('own.n', version=2)\ndef f(text: str) -> int: return 1 // 0\n")
    assert tamis(*run).returncode == 1  # ends before it decides
    done = tamis("why", "http://a.org/3", "--work", tmp_path / "work")
    assert done.returncode == 2
    assert "not whole" in done.stderr


def test_an_edit_that_raises_on_one_document_leaves_that_one_and_is_counted(tmp_path):
    rows = [{"text": f"document {i}"} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    body = "@edit('e', version=1)\ndef f(text):\n    1 // ('4' not in text)\n    return [(0, 8, 'page')]\n"
    written(tmp_path, body)
    recipe = tmp_path / "r.yaml"
    head = "extend: [mine.py]\nclean: {edits: [e]}\nsources: [{name: rows, path: rows.jsonl}]\n"
    recipe.write_text(head + "rules: {set: {}}\ntokens: null\ndedup: {exact: false, minhash: null}\n")
    done = command_line.process("run", recipe, "--work", tmp_path / "work", "-j", 1)  # with what its worker says
    texts = [row for path in (tmp_path / "work/corpora/main/text").glob("*") for row in pq.read_table(path).to_pylist()]
    assert sorted(row["text"] for row in texts) == sorted(f"{'document' if i == 4 else 'page'} {i}" for i in range(9))
    assert "goes on without the edits of e: edit e raised ZeroDivisionError" in done.stderr
    assert "'document 4'" in done.stderr
    assert "warning: the edit e failed on 1 of 9 documents" in done.stderr
    (manifest,) = (tmp_path / "work/_done/edits/clean").glob("*.json")
    assert json.loads(manifest.read_text())["summary"]["failed"] == {"e": {"ZeroDivisionError": 1}}

    written(tmp_path, body.replace("'4' not in text", "0").replace("version=1", "version=2"))
    done = tamis("run", recipe, "--work", tmp_path / "other", "-j", 1)
    assert done.returncode == 1
    assert "failed on all 9 documents" in done.stderr


def test_a_signal_that_always_raises_is_named_in_the_last_lines(tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(9)))
    written(tmp_path, "@signal('own.n', version=1)\ndef ratio(text: str) -> int: return 1 // 0\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text("extend: [mine.py]\nsources: [{name: rows, path: rows.jsonl}]\ntokens: null\n")
    done = tamis("run", recipe, "--work", tmp_path / "work", "-j", 1)
    assert done.returncode == 1
    last = done.stderr[done.stderr.index("error: ") :]
    assert "signal group 'own' failed on all 9 documents of a batch, in ratio (" in last
    assert "mine.py, line 3): ZeroDivisionError" in last


def test_a_file_without_a_decorator_is_refused(tmp_path):
    path = written(tmp_path, "def f(text: str) -> int: return 1\n")
    with pytest.raises(ExtensionError, match="no function has a decorator"):
        load(path)


def test_a_span_that_is_none_is_named_with_the_text(tmp_path):
    import pyarrow as pa

    path = written(tmp_path, "@edit('e', version=1)\ndef f(text): return [(0, 3)]")
    (made,) = extending.edits([path], ["e"])
    with pytest.raises(ExtensionError, match=r"edit e gave \(0, 3\), no .* begins with 'abcdef'"):
        made.editor(pa.array(["abcdef"], pa.large_string()))


def test_a_source_that_returns_one_dict_is_refused_with_its_keys(tmp_path):
    path = written(tmp_path, "@source('s', version=1)\ndef f(path): return {'text': 'a', 'page': 1}\n")
    with pytest.raises(SourceError, match="one dict with the keys 'text', 'page': yield it"):
        list(own.read_own(str(tmp_path / "in.txt"), "in.txt", 100, {"reader": "s", "reader_file": path}))
