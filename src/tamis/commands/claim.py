"""`tamis claim`: runs claims about data and scale as experiments, and writes the page about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.commands.shared import Json, Refused, errors, show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tamis.proof.claims.claim import Claim
    from tamis.proof.claims.results import Result

PAGE = Path("docs/claims.md")


def claim(
    names: Annotated[list[str] | None, typer.Argument(help="Claims to run; none lists those there are.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run all and write the page.")] = False,
    scale: Annotated[
        str, typer.Option("--scale", help="`tiny` (seconds, shows nothing), `small` (minutes), or times small.")
    ] = "small",
    out: Annotated[Path, typer.Option("--out", "-o", help="Where results, pictures and runs lie.")] = Path("claims"),
    page: Annotated[
        Path | None,
        typer.Option("--page", help="Write the page here; with --all docs/claims.md if absent, of tiny OUT/claims.md."),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", "-j", min=1, help="At once, of one thread each.")] = 2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Other seeds for everything that is drawn.")] = 0,
    data: Annotated[
        Path | None, typer.Option("--data", help="Texts (.parquet, .jsonl[.gz] with `text`) instead of the default.")
    ] = None,
    file: Annotated[list[Path] | None, typer.Option("--file", help="A claim of your own; repeat for more.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Run even where a stored result counts.")] = False,
    stored: Annotated[bool, typer.Option("--stored", help="Run nothing: show and write what is stored.")] = False,
    json_: Json = False,
) -> None:
    """Puts famous claims about data to the test: *holds*, *does not hold* or *not shown here*, with intervals.

    Results are kept in --out and used again while nothing that decides them changes.

    Example: `tamis claim noisy-labels --scale tiny`, or `tamis claim --all --scale small`
    """
    from tamis.proof.claims import page as pages
    from tamis.proof.claims import registry, results
    from tamis.proof.claims.claim import BadClaim, Setting, parse_scale

    with errors():
        found, broken = registry.find(file or ())
        wanted = _chosen(names or [], every, found, broken)
        if not wanted:
            _list(found, broken, json_)
            return
        asked = parse_scale(scale)
        if data is not None and not data.is_file():
            raise BadClaim(f"--data {data}: no such file")
        made: list[Result] = []
        for one in wanted:
            if stored:
                label = Setting(asked, out, out).label
                result = results.load(one, out, label, seed) or results.Result(
                    one, label, seed, not_run=f"there is no stored result of scale {label}"
                )
            else:
                typer.echo(f"({one.letter}) {one.name}, {scale}: {one.statement}", err=True)
                result = results.run(
                    one, asked, out, processes=processes, seed=seed, data=data, again=again, keep_going=len(wanted) > 1
                )
                typer.echo(f"    {result.said}{', stored' if result.reused else ''}", err=True)
            made.append(result)
        written = page or (_page(asked, out) if every else None)
        if written is not None:
            pages.write(made, broken if every else {}, written)
        if json_:
            body = {"results": [one.to_json() for one in made], "broken": broken}
            show(body | ({"page": str(written)} if written else {}))
        else:
            typer.echo("\n\n".join(pages.text(one) for one in made))
            if written is not None:
                typer.echo(f"\npage     {written}")
        _complain(made, broken if every else {}, every)


def _chosen(names: list[str], every: bool, found: Sequence[Claim], broken: Mapping[str, str]) -> list[Claim]:
    from tamis.proof.claims.claim import BadClaim

    if every and names:
        raise BadClaim("name claims, or --all, not both")
    if every:
        return list(found)
    known = {one.name: one for one in found} | {one.letter: one for one in found}
    for name in names:
        if name not in known:
            also = "".join(f"\n  {module}.py cannot be imported: {why}" for module, why in broken.items())
            raise BadClaim(f"there is no claim `{name}`; there are {', '.join(one.name for one in found)}{also}")
    return [known[name] for name in dict.fromkeys(names)]


def _page(scale: str | float, out: Path) -> Path:
    """That of the documentation; a tiny run, which shows nothing, never takes its place."""
    return out / PAGE.name if scale == "tiny" else PAGE


def _list(found: Sequence[Claim], broken: Mapping[str, str], json_: bool) -> None:
    if json_:
        rows = [
            {"name": one.name, "letter": one.letter, "statement": one.statement, "source": one.source, "rule": one.rule}
            | {"missing": one.missing()}
            for one in found
        ]
        show({"claims": rows, "broken": dict(broken)})
        return
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        lacks = f"  (needs: {'; '.join(one.missing())})" if one.missing() else ""
        typer.echo(f"({one.letter}) {one.name:<{width}}  {one.statement}{lacks}")
    for module, why in broken.items():
        typer.echo(f"{module}.py cannot be imported: {why}")


def _complain(made: Sequence[Result], broken: Mapping[str, str], every: bool) -> None:
    """Exit 1 where a claim broke, or the only one asked for could not be run; the page has said so already."""
    failed = [one.claim.name for one in made if one.failed] + list(broken)
    if failed:
        raise Refused(f"not run because of a defect: {', '.join(failed)}")
    if not every and all(one.finding is None for one in made):
        raise Refused("; ".join(f"{one.claim.name}: {one.not_run}" for one in made))
