"""Every example runs on what every user has, and gives a corpus."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent.parent / "examples").glob("*.yaml"))
EXAMPLES = [
    path for path in FILES if "\nsources:" in path.read_text(encoding="utf-8")
]  # the others are labelling tasks


@pytest.mark.parametrize("recipe", EXAMPLES, ids=lambda path: path.name)
def test_example(recipe, tmp_path):
    arguments = ["run", str(recipe), "--work", str(tmp_path / "work"), "--workers", "1", "--json"]
    done = subprocess.run([sys.executable, "-m", "tamis", *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kept"] > 0
    assert found["tokens"] > 0
    assert Path(found["report"]).stat().st_size > 10_000
