"""`tamis train`: one decoder on one corpus, or on a file of texts."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamis.commands.shared import Json, Refused, Work, errors, show
from tamis.errors import WrongUse

if TYPE_CHECKING:
    from tamis.models.decoder import Config
    from tamis.models.hf import Shape
    from tamis.models.training import Run


class NoTokens(ValueError, WrongUse):
    """What was named holds no tokens and no text."""


def train(
    data: Annotated[
        str,
        typer.Argument(help="A corpus as [WORK:]NAME, a folder of token shards, or a Parquet or JSONL file with text."),
    ],
    work: Work = Path("workspace"),
    size: Annotated[
        str | None,
        typer.Option("--size", help="0.05M, 0.2M, 0.8M, 5.8M, 15.7M; or LAYERSxWIDTHxHEADS; 0.2M if absent."),
    ] = None,
    hf: Annotated[
        str | None,
        typer.Option("--hf", help="A transformers config.json, or a family (`gpt2` in its usual size), instead."),
    ] = None,
    tokens: Annotated[
        float, typer.Option("--tokens", min=1, help="How many to train on; more than there are: epochs.")
    ] = 4e6,
    context: Annotated[int, typer.Option("--context", min=2, help="Tokens of a sequence.")] = 256,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Sequences of a batch, over all processes.")] = 16,
    accumulate: Annotated[int, typer.Option("--accumulate", min=1, help="Batches of a step.")] = 1,
    experts: Annotated[int, typer.Option("--experts", min=0, help="Experts of a Switch layer; 0 for a dense one.")] = 0,
    optimizer: Annotated[
        str | None, typer.Option("--optimizer", help="`muon` (AdamW for the rest), or `adamw`: the default with --hf.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate; a stated default if absent.")] = None,
    schedule: Annotated[str, typer.Option("--schedule", help="`wsd`, `cosine` or `constant`.")] = "wsd",
    precision: Annotated[
        str, typer.Option("--precision", help="`fp32`, `medium`, `bf16`; `auto` measures once and keeps it.")
    ] = "auto",
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Of weights and order; repeat for several runs.")
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Seeds at a time, one thread each.")] = 2,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Of one run.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where runs lie; WORK/runs if absent.")] = None,
    json_: Json = False,
) -> None:
    """Trains a small decoder; says its loss, its speed, and what share of this machine's matrix multiply that was.

    Kill it whenever you like: the same command goes on from the last checkpoint to the same losses. A whole run is not
    trained again.

    Example: `tamis train main --work ./web --size 0.2M --tokens 4e6`, or `tamis train texts.parquet --seed 0 --seed 1`
    """
    with errors():
        import torch

        from tamis.models.many import many
        from tamis.models.settings import Settings, SettingsError
        from tamis.models.training import Run, settle

        optimizer = optimizer or ("adamw" if hf else "muon")
        if hf and (size or experts):
            raise typer.BadParameter("--hf says the whole shape: leave out --size and --experts")
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world > 1 and len(seed or []) > 1:
            raise SettingsError(f"{world} processes train one model together: say one --seed, and start again for more")
        if optimizer not in ("muon", "adamw") or schedule not in ("wsd", "cosine", "constant"):
            raise typer.BadParameter("--optimizer is muon or adamw, --schedule wsd, cosine or constant")
        if precision not in ("auto", "fp32", "medium", "bf16"):
            raise SettingsError(f"precision {precision!r}: fp32, medium, bf16 or auto; fp16 is unusable on a CPU")
        if not math.isfinite(tokens):
            raise SettingsError(f"--tokens {tokens}: how many there are to train on, a number")
        if out is None and ":" in data and not Path(data).exists():
            work = Path(data.rpartition(":")[0])
        folder = work / "runs" if out is None else out
        job: dict[str, Any] = {
            "data": data, "work": work, "size": size or "0.2M", "hf": hf, "context": context, "experts": experts,
            "out": folder, "threads": threads,
        }  # fmt: skip
        jobs = [
            job
            | {
                "settings": Settings(
                    tokens=int(tokens), batch=batch, lr=lr, optimizer=optimizer, schedule=schedule,  # type: ignore[arg-type]
                    precision=precision, accumulate=accumulate, seed=one,  # type: ignore[arg-type]
                )
            }
            for one in (seed or [0])
        ]  # fmt: skip
        if len(jobs) > 1:
            torch.set_num_threads(threads)
            config = _config(jobs[0], _feed(data, work, context, batch, 0)[1])
            chosen = settle(config, jobs[0]["settings"], folder).precision  # once: all seeds are trained alike
            jobs = [one | {"settings": replace(one["settings"], precision=chosen)} for one in jobs]
            folders = many(
                _one, [one | {"progress": False} for one in jobs], processes, lambda j: f"seed {j['settings'].seed}"
            )
        else:
            if world > 1:
                torch.distributed.init_process_group("gloo")
            folders = [_one(jobs[0] | {"progress": True})]
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                first = torch.distributed.get_rank() == 0
                torch.distributed.destroy_process_group()
                if not first:
                    return
        runs = [Run.read(one) for one in folders]
        if json_:
            show([_body(run) for run in runs])
        else:
            typer.echo("\n".join(line for run in runs for line in _lines(run)))


def _one(job: dict[str, Any]) -> Path:
    """One run: its folder."""
    import torch

    from tamis.models import training

    torch.set_num_threads(job["threads"])
    settings = job["settings"]
    feed, vocab, tokenizer = _feed(job["data"], job["work"], job["context"], settings.batch, settings.seed)
    return training.train(
        feed, _config(job, vocab), settings, job["out"], tokenizer=tokenizer, progress=job["progress"], logs=True
    ).folder


def _config(job: dict[str, Any], vocab: int) -> Config | Shape:
    """The shape that options name."""
    from tamis.models.decoder import Config, ShapeError, ladder
    from tamis.models.hf import shape

    if job["hf"]:
        return shape(job["hf"], vocab=vocab, context=job["context"])
    size = job["size"]
    if "x" in size:
        try:
            layers, width, heads = map(int, size.split("x"))
        except ValueError:
            raise ShapeError(f"size {size!r} is not LAYERSxWIDTHxHEADS, such as 4x64x1") from None
        return Config(vocab, job["context"], layers, width, heads, job["experts"])
    return ladder(size, vocab, job["context"], job["experts"])


def _feed(data: str, work: Path, context: int, batch: int, seed: int) -> tuple[Any, int, Path | None]:
    """Feed of this process, vocabulary, tokenizer of what `data` names."""
    import numpy as np
    import torch

    from tamis.corpus.windows import Windows
    from tamis.models.data import VOCABULARY, ArrayFeed, bytes_of
    from tamis.yaml_models import near

    rank, world = 0, 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    if batch % world:
        raise Refused(f"a batch of {batch} sequences cannot be shared by {world} processes")
    place = Path(data)
    if place.is_file():
        texts = _texts(place)
        rows = np.array([row for row, text in enumerate(texts) if text], np.int64)
        array = bytes_of(text for text in texts if text)
        offsets = np.concatenate([[0], np.flatnonzero(array == 256) + 1])
        return (
            ArrayFeed(array, context, batch // world, seed, rank=rank, world=world, offsets=offsets, names=rows),
            VOCABULARY,
            None,
        )
    if not (place / "index.json").exists():
        before, colon, name = data.rpartition(":")
        corpora = Path(before if colon else work) / "corpora"
        place = corpora / name / "tokens"
    if not (place / "index.json").exists():
        known = sorted(one.parent.parent.name for one in corpora.glob("*/tokens/index.json"))
        raise NoTokens(
            f"{data} is no file and no folder of token shards, and {place} does not exist"
            + (f"{near(name, known)}\n  Corpora with tokens there: {', '.join(known)}." if known else ".")
            + f" `tamis run RECIPE --work {corpora.parent}` makes a corpus; or name a Parquet or JSONL file with a "
            "column `text`."
        )
    feed = Windows(place, context, batch // world, seed=seed, rank=rank, world=world)
    return feed, feed.shards.index.vocabulary, place / feed.shards.index.tokenizer


def _texts(path: Path) -> list[str | None]:
    """Column `text` of a Parquet or JSONL file, all its rows. Memory: the file; large text is for `tamis run`."""
    import pyarrow.json
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["text"]) if path.suffix == ".parquet" else pyarrow.json.read_json(path)
        column = table.column("text")
    except (KeyError, ValueError) as error:
        raise Refused(f"{path} has no column `text`, or is neither Parquet nor JSONL: {error}") from error
    return list(column.to_pylist())


def _body(run: Run) -> dict[str, Any]:
    import json

    body: dict[str, Any] = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    return {"run": str(run.folder), "parameters": run.config.parameters} | body


def _lines(run: Run) -> list[str]:
    from tamis.models.decoder import Config

    body = _body(run)
    config, loss = run.config, body["final_loss"]
    if isinstance(config, Config):
        experts = f", {config.experts} experts" if config.experts else ""
        form = f"{config.layers} layers of {config.width}, {config.heads} heads{experts}"
    else:
        form = f"{config.family} of transformers, width {config.width}"
    byte = body["tokenizer"] is None and config.vocab == 257
    unit = f"{loss / math.log(2):.3f} bits/byte" if byte else f"{loss:.3f} nats/token"
    speed = body["tokens"] / body["cpu_seconds"]
    found = [
        f"run       {run.folder}",
        f"model     {config.parameters:,} parameters without embeddings ({form}), vocabulary {config.vocab:,}",
        f"data      {body['tokens']:,} tokens, {body['epochs']:.2f} epochs, seed {run.settings.seed}",
        f"loss      {unit} over the last 5% of steps, on training text",
        f"cost      {body['flops']:.2e} FLOP, {body['cpu_seconds']:.0f} CPU seconds, {speed:,.0f} tokens a CPU second",
        f"machine   {body['share_of_peak']:.0%} of its measured {body['matmul_flops_per_second'] / 1e9:.0f} GFLOP/s in "
        f"{run.settings.precision}",
    ]
    for one in body["warnings"]:
        where = f"; documents {', '.join(one['documents'][:8])}" if one["documents"] else ""
        found.append(f"warning   step {one['step']:,}: {one['message']}{where}")
    return found
