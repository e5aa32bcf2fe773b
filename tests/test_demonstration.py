"""`tamis demo`: a crawl of this machine, the recipe, the explanation at the end."""

import functools

import pytest

from tamis import demonstration
from tamis.sources.machine import machine_crawl
from tamis.workspace import WorkspaceError


@pytest.fixture
def small(monkeypatch):
    """A demo of 120 pages rather than thousands; everything else is the product's."""
    crawl = functools.partial(machine_crawl, pages={"python": 120})
    monkeypatch.setattr(demonstration, "machine_crawl", crawl)


def test_the_demo_ends_with_a_funnel_a_receipt_and_paths(tmp_path, small):
    work = tmp_path / "demo"
    finished = demonstration.run(work, None, 1)
    said = "\n".join(demonstration.explain(finished))
    assert finished.outcome.documents == 120
    assert f"{'documents':<24} {120:>8}" in said
    assert "DROPPED by" in said
    assert str(finished.report) in said
    assert finished.report.exists()
    assert (work / "corpora/main/tokens/index.json").exists()
    # the funnel's steps lead from all documents to the kept ones
    steps = [line.split() for line in said.split("the funnel", 1)[1].split("  kept ", 1)[0].splitlines()]
    taken = [int(step[1].replace(",", "")) for step in steps if len(step) > 2 and step[1].startswith("-")]
    assert len(taken) >= 2
    assert finished.outcome.documents + sum(taken) == finished.outcome.kept


def test_a_second_demo_makes_no_second_crawl(tmp_path, small, monkeypatch):
    work = tmp_path / "demo"
    demonstration.run(work, None, 1)
    monkeypatch.setattr(demonstration, "machine_crawl", None)
    assert demonstration.run(work, None, 1).outcome.documents == 120


def test_another_warc_in_its_place(tmp_path):
    crawl = tmp_path / "it's a crawl.warc.gz"
    machine_crawl(crawl, pages={"python": 60})
    assert demonstration.run(tmp_path / "demo", str(crawl), 1).outcome.documents == 60
    with pytest.raises(WorkspaceError, match="no such file"):
        demonstration.run(tmp_path / "other", str(tmp_path / "none.warc.gz"), 1)
