"""`tamis label aggregate`: one label out of many raters' labels. Registered by `commands/label.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamis.commands.shared import Json, errors, show
from tamis.errors import WrongUse

if TYPE_CHECKING:
    from tamis.people.aggregation import Accuracy, Aggregated
    from tamis.people.labels import Labels
    from tamis.people.preference import Strengths
    from tamis.people.soft import Ratings

_ROWS = 12  # of raters and of examples on a terminal
_COLUMNS = 200  # of posteriors in a file; with more classes, the best one only
_RATINGS = ("median", "trimmed-mean")
_COMPARED = ("bradley-terry",)


class BadOption(ValueError, WrongUse):
    """An option that does not fit the method or the file."""


def aggregate(
    file: Annotated[Path, typer.Argument(help="CSV, JSONL or Parquet with columns example (or item, task), rater "
                                              "(or worker, annotator), label.")],
    method: Annotated[str, typer.Option("--method", "-m", help="How; the list is above.")] = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="Write one row an example, with the posterior of every "
                                                           "class: .parquet, .csv or .jsonl.")] = None,
    truth: Annotated[Path | None, typer.Option("--truth", help="Known answers (example, truth): print the accuracy and "
                                                               "its interval, with majority beside it.")] = None,
    controls: Annotated[Path | None, typer.Option("--controls", help="Known answers (example, truth) that the method "
                                                                     "may use: they show who is right.")] = None,
    keep: Annotated[float | None, typer.Option("--keep", help="Only this share of examples, the surest (lowest "
                                                              "entropy).")] = None,
    model: Annotated[Path | None, typer.Option("--model", help="A model's predictions: example, and `label` (it joins "
                                                               "as one more rater) or `p_CLASS` columns "
                                                               "(for `crowdlab`).")] = None,
    strength: Annotated[float | None, typer.Option("--strength", help="`dawid-skene-pooled`: labels of prior a "
                                                                      "class.")] = None,
    smoothing: Annotated[float | None, typer.Option("--smoothing", help="`soft`: added to each class; 0.5.")] = None,
    trim: Annotated[float | None, typer.Option("--trim", help="`trimmed-mean`: share cut at either end; 0.1.")] = None,
    deconvolve: Annotated[bool, typer.Option("--deconvolve", help="`soft`: take out the slips that raters' second "
                                                                  "answers to the same example show.")] = False,
    ties: Annotated[str | None, typer.Option("--ties", help="`bradley-terry`: `half` a win each, or "
                                                            "`davidson`.")] = None,
    position: Annotated[str | None, typer.Option("--position", help="`bradley-terry`: what the first place is worth: "
                                                                    "`none`, one for `all`, or by `rater`.")] = None,
    question: Annotated[str | None, typer.Option("--question", help="Of a file with answers to several "
                                                                    "questions.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Makes one label an example out of many raters' labels, with its posterior, and tells how good the raters are.

    Methods:

    - `auto`: the one below that predicts held-out labels best (default)
    - `majority`: the most frequent label; ties are reported
    - `one-coin`: every rater has one accuracy
    - `dawid-skene`: every rater has a confusion matrix; maximum likelihood
    - `dawid-skene-pooled`: the same, drawn to all raters' matrix; for few labels a rater
    - `glad`: raters have an ability, examples a difficulty
    - `mace-em`: raters know or guess; for spam
    - `mace-vb`: the same by variational Bayes, as MACE's authors run it
    - `crowdlab`: people beside a model's probabilities (`--model`)
    - `soft`: the smoothed distribution of opinions, where people may differ
    - `median`, `trimmed-mean`: of ratings
    - `bradley-terry`: strengths of what was compared, from columns first, second, rater, label (first, second, tie or
      a name), or from an export of a pairwise, preference or ranking task

    The order of rows and the names of raters and classes change nothing.

    Example: `tamis label aggregate labels.csv --method dawid-skene --truth gold.csv`
    """
    with errors():
        from tamis.people.aggregation.predictions import read_predictions
        from tamis.people.labels import read_question, read_truth

        options = _options(method, strength=strength, smoothing=smoothing, trim=trim)
        given = {"--truth": truth, "--controls": controls, "--keep": keep, "--model": model}
        others = [name for name, value in given.items() if value is not None]
        if deconvolve and method != "soft":
            raise BadOption(f"--deconvolve belongs to --method soft, not to {method}")
        if keep is not None and not 0 < keep <= 1:
            raise BadOption(f"--keep {keep:g}: a share above 0 and at most 1")
        if out is not None and out.suffix.lower() not in (".parquet", ".csv", ".jsonl"):
            raise BadOption(f"--out {out}: name it .parquet, .csv or .jsonl")
        if method == "bradley-terry":
            if others:
                raise BadOption(f"{', '.join(others)} does not go with comparisons (--method {method})")
            found = _strengths(file, question, ties or "half", position or "none")
            _write(_strengths_table(found), out)
            show({"method": method} | found.to_json()) if json_ else typer.echo("\n".join(_explain_strengths(found)))
            return
        if ties is not None or position is not None:
            raise BadOption(f"--ties and --position belong to --method bradley-terry, not to {method}")
        labels = read_question(file, question)
        if method in _RATINGS:
            if others:
                raise BadOption(f"{', '.join(others)} does not go with ratings (--method {method})")
            rated = _ratings(labels, method, options)
            _write(rated.table(), out)
            show(rated.to_json()) if json_ else typer.echo("\n".join(_explain_ratings(rated)))
            return
        if model is not None:
            predictions = read_predictions(model)
            if method == "crowdlab":
                if not predictions.probabilities:
                    raise BadOption(f"crowdlab needs probabilities: {model} has no columns p_CLASS")
                options["model"] = predictions.probabilities
            else:
                labels = labels.and_rater("model", predictions.as_names())
        result = _aggregate(labels, method, read_truth(controls) if controls else None, options)
        if deconvolve:
            result = _deconvolved(result)
        plain = _aggregate(labels, "majority", None, {}) if truth else None
        if keep is not None:
            result = result.keep(keep)
            plain = replace(plain, kept=result.kept) if plain is not None else None
        known = read_truth(truth) if truth else None
        taught = set(known or ()) & set(read_truth(controls) if controls else ())
        accuracy = result.expected_accuracy(known) if known is not None else None
        majority = plain.expected_accuracy(known) if plain is not None and known is not None else None
        if known is not None and accuracy is not None and not accuracy.n:
            raise BadOption(f"{truth} knows none of the examples of {file}: are they named alike?")
        _write(result.table(posteriors=len(labels.classes) <= _COLUMNS), out)
        _warn(labels)
        if taught and known is not None:
            typer.echo(
                f"warning: {len(taught):,} of the {len(known):,} answers of --truth are in --controls too: the method "
                "was told them, so the accuracy says little about other examples; keep some answers from it",
                err=True,
            )
        if json_:
            body = result.to_json()
            if accuracy is not None and majority is not None:
                body["accuracy"] = vars(accuracy) | {"majority": vars(majority)}
            show(body)
        else:
            typer.echo("\n".join(_explain(result, accuracy, majority)))


def _options(method: str, **given: float | None) -> dict[str, Any]:
    """The options that were given; each belongs to one method."""
    owner = {"strength": "dawid-skene-pooled", "smoothing": "soft", "trim": "trimmed-mean"}
    found = {name: value for name, value in given.items() if value is not None}
    for name, value in found.items():
        if owner[name] != method:
            raise BadOption(f"--{name} belongs to --method {owner[name]}, not to {method}")
        if value < 0 or (name == "trim" and value >= 0.5) or (name == "strength" and value == 0):
            raise BadOption(f"--{name} {value:g} is out of range")
    return found


def _aggregate(labels: Labels, method: str, controls: dict[str, str] | None, options: dict[str, Any]) -> Aggregated:
    from tamis.people.aggregation import METHODS, aggregate

    if method not in METHODS:
        raise BadOption(f"there is no method {method}: {', '.join([*METHODS, *_RATINGS, *_COMPARED])}")
    return aggregate(labels, method, controls=controls, **options)


def _deconvolved(result: Aggregated) -> Aggregated:
    """Opinions without slips; the flip rate stands in the notes."""
    from dataclasses import asdict

    from tamis.people.soft import deconvolve, flip_rate

    flip = flip_rate(result.labels)
    why = f"{result.why}; without slips, of which there are {flip.value:.3f} [{flip.low:.3f}, {flip.high:.3f}] a label"
    return replace(
        result,
        posterior=deconvolve(result.posterior, flip.value),
        why=why,
        notes={**result.notes, "flip_rate": asdict(flip)},
    )


def _strengths(file: Path, question: str | None, ties: str, position: str) -> Strengths:
    from tamis.people.comparing import read_comparisons
    from tamis.people.preference import bradley_terry

    if ties not in ("half", "davidson"):
        raise BadOption(f"--ties {ties}: half or davidson")
    if position not in ("none", "all", "rater"):
        raise BadOption(f"--position {position}: none, all or rater")
    return bradley_terry(read_comparisons(file, question), ties=ties, position=position)  # type: ignore[arg-type]


def _strengths_table(found: Strengths) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(found.to_json()["strengths"])


def _ratings(labels: Labels, method: str, options: dict[str, Any]) -> Ratings:
    from tamis.people.soft import ratings

    return ratings(labels, "median" if method == "median" else "trimmed-mean", **options)


def _warn(labels: Labels) -> None:
    if labels.unlabelled:
        typer.echo(f"warning: {labels.unlabelled:,} rows have no label and were left out", err=True)
    if labels.ignored:
        typer.echo(f"not read: columns {', '.join(labels.ignored)}", err=True)


def _write(table: Any, out: Path | None) -> None:
    """To a temporary name first, so that a file by the name is whole."""
    if out is None:
        return
    import os

    part = out.with_name(out.name + ".part")
    if out.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, part, compression="zstd", write_page_checksum=True)
    elif out.suffix.lower() == ".csv":
        import pyarrow.csv as csv

        csv.write_csv(table, part)
    else:
        import json

        with part.open("w", encoding="utf-8") as file:
            for batch in table.to_batches():
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())
    os.replace(part, out)


def _explain(result: Aggregated, accuracy: Accuracy | None, majority: Accuracy | None) -> list[str]:
    labels = result.labels
    lines = [
        f"{len(labels):,} labels of {len(labels.examples):,} examples by {len(labels.raters):,} raters, "
        f"{len(labels.classes):,} classes",
        f"method     {result.method}{_chosen(result)}: {result.status.value} ({result.why})",
    ]
    if result.log_likelihood is not None:
        lines.append(f"           log-likelihood {result.log_likelihood:,.3f} nats")
    shown = result.table(posteriors=False)
    lines.append(f"labels     {shown.num_rows:,} examples, {sum(shown['tied'].to_pylist()):,} tied")
    if accuracy is not None and majority is not None:
        lines.append(f"accuracy   {_share(accuracy)}; majority, ties shared: {_share(majority)}")
    lines += ["", "least sure   label            posterior   n"]
    # The table is in the order of names, as numbers where all are, and sorting keeps it; equal posteriors of another
    # order of sums differ in their last digits.
    rows = sorted(shown.to_pylist(), key=lambda row: -round(row["entropy"], 9))[:_ROWS]
    lines += [
        f"{_cut(row['example'], 12)} {_cut(row['label'], 16)} {row['posterior']:9.3f} {row['n']:3}"
        + ("   tied" if row["tied"] else "")
        for row in rows
    ]
    lines += ["", "raters, weakest first", "rater            n   skill   95 % interval"]
    raters = sorted(result.raters(), key=lambda row: (row["skill"] is None, row["skill"], row["rater"]))
    for row in raters[:_ROWS]:
        skill = "  nobody else saw these" if row["skill"] is None else (
            f"{row['skill']:7.3f}   [{row['low']:.3f}, {row['high']:.3f}]"
        )  # fmt: skip
        lines.append(f"{_cut(row['rater'], 12)} {row['n']:5} {skill}")
    if len(raters) > _ROWS:
        lines.append(f"... and {len(raters) - _ROWS:,} more (`--json` has all)")
    return lines


def _chosen(result: Aggregated) -> str:
    if "chosen_by" not in result.notes:
        return ""
    strength = result.notes.get("strength")
    return (f", strength {strength:g}," if strength is not None else "") + " chosen by held-out labels"


def _share(accuracy: Accuracy) -> str:
    return f"{accuracy.value:.4f} [{accuracy.low:.4f}, {accuracy.high:.4f}] of {accuracy.n:,}"


def _cut(text: str, width: int) -> str:
    """In `width` characters; names come from files, so nothing of theirs may move the cursor."""
    inert = "".join(character if character.isprintable() else "?" for character in text)
    return f"{inert if len(inert) <= width else inert[: width - 2] + '..':{width}}"


def _explain_ratings(rated: Ratings) -> list[str]:
    table = rated.table().to_pylist()
    lines = [
        f"{rated.method} of {len(rated.labels):,} ratings of {len(table):,} examples",
        "",
        "example      value   95 % interval   n",
    ]
    for row in table[:_ROWS]:
        interval = "too few" if row["low"] is None else f"[{row['low']:.3g}, {row['high']:.3g}]"
        lines.append(f"{_cut(row['example'], 12)} {row['label']:5.3g}   {interval:13} {row['n']:3}")
    lines += ["", "rater            n    bias   95 % interval   spread"]
    for one in sorted(rated.raters(), key=lambda row: (row["bias"] is None, -abs(row["bias"] or 0), row["rater"]))[
        :_ROWS
    ]:
        figures = "  alone" if one["bias_low"] is None else (
            f"{one['bias']:+7.3f}   [{one['bias_low']:+.2f}, {one['bias_high']:+.2f}]   {one['spread']:.3f}"
        )  # fmt: skip
        lines.append(f"{_cut(one['rater'], 12)} {one['n']:5} {figures}")
    return lines


def _explain_strengths(found: Strengths) -> list[str]:
    body = found.to_json()
    lines = [
        f"method     bradley-terry: {found.standing.value} ({found.why})",
        f"           log-likelihood {found.log_likelihood:,.3f} nats",
        "",
        "compared     strength   95 % interval      n",
    ]
    for row in body["strengths"]:
        interval = "none" if row["low"] is None else f"[{row['low']:+.3f}, {row['high']:+.3f}]"
        group = f"   group {row['component'] + 1}" if found.components > 1 else ""
        lines.append(f"{_cut(row['name'], 12)} {row['strength']:+8.3f}   {interval:16} {row['n']:4}{group}")
    for name, row in body["position"].items():
        interval = "none" if row["low"] is None else f"[{row['low']:+.3f}, {row['high']:+.3f}]"
        lines.append(f"first place  {row['value']:+8.3f}   {interval:16}      {_cut(name, 12).strip()}")
    return lines


VERBS = {"aggregate": aggregate}
