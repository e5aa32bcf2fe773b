"""From verdicts to text and shards of tokens, as stages of a workspace: kept text, tokenizer, ids, mixture, order,
index."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tamis.corpus import kept, megatron, mixture, shards, shuffle, tokenise, tokenizer
from tamis.corpus.tally import total_by_source
from tamis.engine import Engine
from tamis.recipe import Recipe, TrainTokenizer
from tamis.stage import File, Manifest, Run, Stage, Task, hash_file
from tamis.workspace import Progress, Workspace
from tamis.yaml_models import RecipeError

# The stages that make files from verdicts.
MADE = ("kept", "sample", "tokenizer", "token-ids", "order", "text", "tokens", "index", "megatron")


class NothingKept(ValueError):
    """No document is left to tokenise."""


class Builder:
    """Makes the files of one corpus below `corpora/NAME`. The driver's memory grows with shards and sources only."""

    def __init__(self, recipe: Recipe, work: Workspace, engine: Engine, progress: Progress) -> None:
        self.recipe = recipe
        self.work = work
        self.engine = engine
        self.progress = progress
        self.home = f"corpora/{recipe.name}"

    def _map(self, name: str, run: Run, version: int, tasks: Sequence[Task], *packages: str) -> list[Manifest]:
        stage = Stage(f"{self.home}/{name}", run, version, packages)
        return self.work.map(self.engine, stage, tasks, self.progress)

    def keep(
        self, documents: Sequence[Manifest], edits: Sequence[tuple[File, ...]], verdicts: Sequence[Manifest]
    ) -> list[Manifest]:
        """Kept text of every shard, edits applied; `edits` are the edit files of each."""
        tasks = [
            Task(
                shard.task,
                (f"{self.home}/kept/{shard.task}.parquet",),
                (shard.files[0], verdict.files[0], *edited),
            )
            for shard, edited, verdict in zip(documents, edits, verdicts, strict=True)
        ]
        return self._map("kept", kept.kept_task, kept.VERSION, tasks)

    def tokenise(self, kept_: Sequence[Manifest]) -> Manifest:
        """Tokenizer, mixture, order, shards; the manifest of the index."""
        settings = self.recipe.tokens
        assert settings is not None
        if not any(manifest.summary["out"] for manifest in kept_):
            raise NothingKept(
                "the rules keep no document, so there is nothing to tokenise. `tamis rules` shows what each rule "
                "drops, `tamis what-if RULE=off` what would come back."
            )
        self._forget("text")  # its files are those of `tokens` now
        model = self._tokenizer(kept_, settings.tokenizer)
        tasks = [
            Task(m.task, (f"{self.home}/token-ids/{m.task}.parquet",), (m.files[0], model.files[0])) for m in kept_
        ]
        ids = self._map("token-ids", tokenise.tokenise_task, tokenise.VERSION, tasks, "tokenizers")
        available = total_by_source([manifest.summary for manifest in ids])
        wanted = self.recipe.mixture
        planned = mixture.plan(
            available, unit=wanted.unit, weights=wanted.weights, epochs=wanted.epochs, tokens=wanted.tokens
        )
        per_token = sum(t.bytes for t in available.values()) / max(1, sum(t.tokens for t in available.values()))
        parts = shuffle.partitions(planned.tokens * per_token, settings.shard_bytes)
        loaded = tokenizer.Tokenizer.load(self.work.file(model.files[0].path))
        ordered = self.work.exchange(
            self.engine,
            Stage(f"{self.home}/order", shuffle.scatter_task, shuffle.SCATTER_VERSION),
            [
                Task(
                    m.task,
                    (f"{self.home}/order/{m.task}.parquet",),
                    (m.files[0], i.files[0]),
                    {"seed": self.recipe.seed, "partitions": parts, "rates": planned.rates()},
                )
                for m, i in zip(kept_, ids, strict=True)
            ],
            Stage(f"{self.home}/tokens", shuffle.gather_task, shuffle.GATHER_VERSION),
            [partial(self._gather, loaded, number) for number in range(parts)],
            self.progress,
        )
        self.work.forget(f"{self.home}/tokens", [manifest.task for manifest in ordered])
        task = Task(
            "index",
            (f"{self.home}/tokens/index.json", f"{self.home}/tokens/tokenizer.json"),
            (model.files[0], *(file for manifest in ordered for file in manifest.files[1:])),
            {"context": settings.context, "seed": self.recipe.seed},
        )
        (index,) = self._map("index", shards.index_task, shards.VERSION, [task], "tokenizers")
        reached = total_by_source([manifest.summary for manifest in ordered])
        self.work.update_corpus(self.recipe.name, mixture=planned.table(reached), limited_by=list(planned.limited_by))
        if settings.megatron:
            prefix = f"{self.home}/megatron/{self.recipe.name}"
            task = Task("megatron", (f"{prefix}.bin", f"{prefix}.idx"), (*index.files, *task.inputs[1:]))
            self._map("megatron", megatron.megatron_task, megatron.VERSION, [task])
        else:
            self._forget("megatron")
        return index

    def untokenised(self) -> list[Manifest]:
        """Mixture and order of the kept text without tokens: the manifests of text/. Drops what an earlier recipe of
        this name tokenised: it is no part of this corpus. Raises MixtureError."""
        self._forget("sample", "tokenizer", "token-ids", "tokens", "index", "megatron")
        kept_ = self.work.manifests(f"{self.home}/kept")
        wanted = self.recipe.mixture
        available = total_by_source([manifest.summary for manifest in kept_])
        unit = wanted.unit if wanted.weights else "documents"  # without weights nothing is counted in it
        planned = mixture.plan(available, unit=unit, weights=wanted.weights, epochs=wanted.epochs)
        parts = shuffle.partitions(planned.bytes)
        params = {"seed": self.recipe.seed, "partitions": parts, "rates": planned.rates()}
        ordered = self.work.exchange(
            self.engine,
            Stage(f"{self.home}/order", shuffle.scatter_task, shuffle.SCATTER_VERSION),
            [Task(m.task, (f"{self.home}/order/{m.task}.parquet",), (m.files[0],), params) for m in kept_],
            Stage(f"{self.home}/text", shuffle.gather_text_task, shuffle.GATHER_VERSION),
            [partial(self._gather_text, number) for number in range(parts)],
            self.progress,
        )
        self.work.forget(f"{self.home}/text", [manifest.task for manifest in ordered])
        reached = total_by_source([manifest.summary for manifest in ordered])
        self.work.update_corpus(self.recipe.name, mixture=planned.table(reached), limited_by=list(planned.limited_by))
        return ordered

    def withdraw(self) -> None:
        """Drops text, tokens and reports that former verdicts made, so that none stands beside the verdicts of now."""
        self._forget(*MADE)
        for name in ("report.html", "card.md", "README.md"):
            self.work.file(f"{self.home}/{name}").unlink(missing_ok=True)
        self.work.update_corpus(self.recipe.name, mixture=[], limited_by=[])

    def _forget(self, *parts: str) -> None:
        for part in parts:
            self.work.forget(f"{self.home}/{part}", ())

    def _gather_text(self, number: int, files: tuple[File, ...]) -> Task:
        name = f"{number:05d}"
        return Task(name, (f"{self.home}/text/{name}.parquet",), files, {"partition": number})

    def _gather(self, loaded: tokenizer.Tokenizer, number: int, files: tuple[File, ...]) -> Task:
        name = f"{number:05d}"
        outputs = (
            f"{self.home}/text/{name}.parquet",
            f"{self.home}/tokens/{name}.bin",
            f"{self.home}/tokens/{name}.idx.npy",
        )
        params = {"partition": number, "dtype": loaded.dtype, "end_of_text": loaded.end_of_text}
        return Task(name, outputs, files, params)

    def _tokenizer(self, kept_: Sequence[Manifest], settings: TrainTokenizer | str) -> Manifest:
        output = (f"{self.home}/tokenizer.json",)
        if isinstance(settings, str):
            path = Path(settings)
            try:
                given = File(str(path), path.stat().st_size, hash_file(path))
            except OSError as error:
                raise RecipeError([f"tokens.tokenizer: {path} cannot be read: {error.strerror}"]) from None
            task = Task("tokenizer", output, (given,))
            (loaded,) = self._map("tokenizer", tokenizer.load_task, tokenizer.TRAIN_VERSION, [task], "tokenizers")
            return loaded
        total = sum(tally.bytes for tally in total_by_source([m.summary for m in kept_]).values())
        share = tokenizer.sample_share(total, settings.sample_bytes)
        params = {"seed": self.recipe.seed, "share": share}
        tasks = [Task(m.task, (f"{self.home}/sample/{m.task}.parquet",), (m.files[0],), params) for m in kept_]
        samples = self._map("sample", tokenizer.sample_task, tokenizer.SAMPLE_VERSION, tasks)
        task = Task("tokenizer", output, tuple(m.files[0] for m in samples), {"vocab": settings.vocab})
        (trained,) = self._map("tokenizer", tokenizer.train_task, tokenizer.TRAIN_VERSION, [task], "tokenizers")
        return trained
