"""Progress lines: short, in one place on a terminal, sparse elsewhere."""

import io

from tamis.console import ConsoleProgress, TaskBar, clock, several, size
from tamis.stage import Manifest


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_amounts_as_people_say_them():
    assert [clock(0), clock(62), clock(3725)] == ["0m00", "1m02", "1h02"]
    assert [size(999), size(1000), size(4_380_000_000), size(3e15)] == ["999 B", "1.0 kB", "4.4 GB", "3000.0 TB"]


def test_one_is_no_plural():
    assert [several(count, "shard") for count in (0, 1, 1200)] == ["0 shards", "1 shard", "1,200 shards"]


def test_a_stage_without_words_has_no_gap_before_its_time():
    out = io.StringIO()
    progress = ConsoleProgress(stream=out)
    progress.begin("signals", 1, 0)
    progress.end("signals", manifests(), 61)
    assert out.getvalue() == "signals                   1/1    1m01\n"


def manifests():
    return [Manifest("signals", "0", "key", (), {"in": 5, "out": 5})]


def test_without_a_terminal_a_stage_is_one_line():
    out = io.StringIO()
    progress = ConsoleProgress(lambda stage, found: f"{len(found)} manifest", out)
    progress.begin("signals", 1, 0)
    progress.advance("signals", 100)
    progress.done("signals", "0", {})
    progress.end("signals", manifests(), 61)
    assert out.getvalue() == "signals                   1/1    1 manifest  1m01\n"


def test_on_a_terminal_the_line_is_redrawn():
    out = Terminal()
    progress = ConsoleProgress(stream=out)
    progress.begin("corpora/web/verdicts", 4, 2)
    progress.done("corpora/web/verdicts", "3", {})
    progress.end("corpora/web/verdicts", manifests(), 1)
    assert "\r\x1b[2K" in out.getvalue()
    assert out.getvalue().endswith("(2 reused)\n")
    assert "corpora/web" not in out.getvalue()


def test_a_bar_leaves_nothing_behind():
    out = Terminal()
    with TaskBar("crawl", "pages", out) as bar:
        bar.at(12)
    assert "12 pages" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[2K")
    quiet = io.StringIO()
    with TaskBar("crawl", "pages", quiet) as bar:
        bar.at(12)
    assert quiet.getvalue() == ""
