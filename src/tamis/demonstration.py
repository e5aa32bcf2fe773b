"""`tamis demo`: a crawl of this machine, the recipe beside this module, and the same code as `tamis run`."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from tamis import running
from tamis.console import TaskBar, size
from tamis.corpora import Corpus
from tamis.documents import read_table
from tamis.recipe import load
from tamis.sources.machine import machine_crawl
from tamis.verdicts import receipt, receipt_text
from tamis.whole import write_atomic
from tamis.workspace import Workspace, WorkspaceError


def run(work: Path, source: str | None, workers: int | None) -> running.Finished:
    """Makes the crawl (unless `source` names a WARC), writes the recipe beside it, and runs it."""
    workspace = Workspace(work, create=True)
    path = source or "crawl/*.warc.gz"
    if source is None:
        _crawl(workspace)
    elif "://" not in source:
        if not Path(source).exists():
            raise WorkspaceError(f"--from {source}: no such file")
        path = str(Path(source).absolute())
    recipe = workspace.file("recipe.yaml")
    if source is not None or not recipe.exists():  # never over what somebody has changed
        text = (resources.files("tamis") / "demo.yaml").read_text(encoding="utf-8")
        known = ("machine", "that of each package; this is your own machine's documentation")
        name, licence = known if source is None else ("crawl", "unknown")
        filled = text.replace("NAME", name).replace("LICENCE", licence)
        write_atomic(recipe, filled.replace("SOURCE", f"'{path.replace(chr(39), chr(39) * 2)}'"))
    return running.run_recipe(load(recipe), work, running.make_engine("local", workers), label=recipe.name)


def _crawl(workspace: Workspace) -> None:
    whole = workspace.file("crawl") / "machine.warc.gz"
    if whole.exists():
        return
    running.say("making a crawl of this machine: Python's docstrings, package descriptions, manual pages")
    with TaskBar("crawl", "pages") as bar:
        summary = machine_crawl(whole, progress=lambda _family, pages, _size: bar.at(pages))
    running.say(f"  {summary.pages:,} pages, {size(summary.html_bytes)} of HTML, in {whole}")


def explain(finished: running.Finished) -> list[str]:
    """The funnel, one receipt, and where to look next."""
    outcome = finished.outcome
    corpus = outcome.corpus
    left = outcome.documents
    lines = ["", "the funnel: what each rule took away first", f"  {'documents':<24} {left:>8,}"]
    for name in ["extracted", *corpus.rules.names, "duplicate"]:
        taken = sum(n for reason, n in outcome.reasons.items() if _belongs(reason, name))
        if taken:
            left -= taken
            bar = "#" * round(40 * left / max(1, outcome.documents))
            lines.append(f"  {name:<24} {-taken:>8,} {left:>8,}  {bar}")
    lines.append(f"  {'kept':<24} {'':>8} {outcome.kept:>8,}")
    chosen = _example(corpus, outcome.reasons)
    if chosen:
        lines += ["", f"why one of them was dropped: tamis why {chosen[:12]} --work {corpus.work.path}", ""]
        lines.append(receipt_text.render(receipt.receipt(corpus, chosen)))
    home = corpus.work.file(corpus.home)
    lines += [
        "",
        f"report        {finished.report}   (open it in a browser)",
        f"token shards  {home / 'tokens'}",
        f"text          {home / 'text'}",
        f"try           tamis what-if short=off --work {corpus.work.path}",
        f"              edit {corpus.work.file('recipe.yaml')}, then "
        f"tamis run {corpus.work.file('recipe.yaml')} --work {corpus.work.path}",
        f"              tamis prove raw main --work {corpus.work.path}   (what the recipe is worth; pip install "
        "'tamis[train]')",
    ]
    return lines


def _belongs(reason: str, rule: str) -> bool:
    return reason == rule or (rule == "extracted" and reason.startswith("extract."))


def _example(corpus: Corpus, reasons: dict[str, int]) -> str | None:
    """The first document that was dropped by the most frequent rule."""
    wanted = next((name for name in reasons if name in corpus.rules.names), None)
    for shard in range(corpus.shards) if wanted else ():
        table = read_table(corpus.verdicts(shard), ["id", "reason"])
        for number, reason in enumerate(table.column("reason").to_pylist()):
            if reason == wanted:
                found: str = table.column("id")[number].as_py()
                return found
    return None
