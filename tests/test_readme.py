"""The README's two commands are the ones that work: CI runs the second one word for word."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.zh-CN.md"]


def commands(name):
    """Lines of the first code blocks, joined where a backslash continues them."""
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("name", READMES)
def test_the_first_two_commands_run_the_demo_and_the_tests(name):
    first, second = commands(name)[:2]
    assert first.endswith("tamis demo")
    assert second.endswith("pytest")
    assert second in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_both_readmes_have_the_same_commands():
    assert commands(READMES[0])[:2] == commands(READMES[1])[:2]


def test_every_dependency_is_pinned_for_ci():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    installed = re.search(r"-e '\.\[(.*?)\]'", (ROOT / ".ci/run").read_text(encoding="utf-8"))
    wanted = [*project["dependencies"], *(line for extra in installed[1].split(",") for line in extras[extra])]
    names = {re.split(r"[<>=\[ ]", line, maxsplit=1)[0].lower().replace("_", "-") for line in wanted}
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert names <= pinned, names - pinned


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
