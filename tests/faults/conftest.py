"""A small source, its recipe and its finished workspace for the fault tests."""

import hashlib
import json
import random

import pytest

import command_line

RECIPE = """\
sources: [{name: rows, path: "rows.*"}]
split_bytes: 65536
clean: {limits: {record_bytes: 1048576}}
rules: {set: {short: text.words >= 20}}
tokens: {tokenizer: {vocab: 512}, context: 64}
"""


@pytest.fixture(scope="session")
def texts():
    draw = random.Random(11)
    words = ["the", "of", "and", "with", *(f"{a}{b}" for a in ("stone", "river") for b in "abcdefghijklmnopqrst")]
    return [f"Page {i}. " + " ".join(draw.choices(words, k=60 + i)) + "." for i in range(120)]


@pytest.fixture(scope="session")
def lines(texts):
    return [json.dumps({"text": text, "url": f"http://a.org/{i}"}) + "\n" for i, text in enumerate(texts)]


@pytest.fixture
def place(tmp_path, lines):
    """A folder with `rows.jsonl` (two splits) and `recipe.yaml`."""
    return furnish(tmp_path, lines)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, lines, tamis):
    """The same, and its finished workspace `work`: copy it before you harm it."""
    folder = furnish(tmp_path_factory.mktemp("finished"), lines)
    tamis("run", folder / "recipe.yaml", "--work", folder / "work", "--workers", 1)
    return folder


def furnish(folder, lines):
    (folder / "rows.jsonl").write_text("".join(lines))
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def tamis():
    """Runs the command line in a process of its own; its result. Standard error never holds a traceback."""
    return command_line.process


@pytest.fixture(scope="session")
def tree():
    """Hashes of what runs leave in a workspace, by name, without the lock and the pages made at every run."""

    def call(folder):
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.name not in ("report.html", "card.md", "README.md")
        }

    return call
