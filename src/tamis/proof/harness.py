"""lm-evaluation-harness asks a model of ours: its tasks, our numbers.

`HarnessModel` answers the three requests that tasks make; `run` evaluates tasks by name or by YAML file and gives their
metrics as ours, with an interval over documents where the harness keeps the value of each (else from its standard
error). Nothing is downloaded: a task whose data are not on this machine is refused by name.

Prompt and continuation are encoded apart, blanks at the end of a prompt go to the continuation (as in the harness's own
models), and both stand after an end-of-text token. Needs the extra `eval`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamis.errors import WrongUse
from tamis.models.model import Encoder, Predictor, batches
from tamis.proof.choices import answer_nats
from tamis.proof.generation import continuations
from tamis.proof.metric import Direction, Metric, mean, share

try:
    from lm_eval.api.model import LM
except ImportError as error:
    raise ImportError("tasks of lm-evaluation-harness need lm-eval: pip install 'tamis[eval]'") from error

BATCH_TOKENS = 1 << 13
TOKENS = 256


class BadTask(ValueError, WrongUse):
    """A task cannot be run; the message names it and the reason."""


class HarnessModel(LM):  # type: ignore[misc]
    """Any Predictor as the harness's LM. Writes greedily only; a task that asks for sampling is refused."""

    def __init__(self, model: Predictor, encoder: Encoder) -> None:
        super().__init__()
        self.model, self.encoder = model, encoder

    @property
    def tokenizer_name(self) -> str:
        return type(self.encoder).__name__

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Of each (context, continuation): log-likelihood in nats, and whether greedy writing gives it."""
        asked = [_moved(*request.args) for request in requests]
        nats, greedy, _ = answer_nats(self.model, asked, self.encoder, BATCH_TOKENS, greedy=True)
        return [(-float(one), bool(hit)) for one, hit in zip(nats, greedy, strict=True)]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Of each text: every token is predicted once, in windows one behind the other; the last is a full one."""
        rows, owner, scored = [], [], []
        for number, request in enumerate(requests):
            ids = np.asarray(self.encoder.encode([request.args[0]])[0], np.int64)
            whole = np.concatenate([[self.encoder.end_of_text], ids])
            for done in range(1, len(whole), self.model.context):
                end = min(len(whole), done + self.model.context)
                rows.append(whole[max(0, end - self.model.context - 1) : end])
                owner.append(number)
                scored.append(end - done)
        found = np.zeros(len(requests))
        for numbers, block in batches(rows, BATCH_TOKENS):
            nats = np.asarray(self.model.nats(block), np.float64)
            for place, number in enumerate(numbers):
                end = len(rows[number]) - 1
                found[owner[number]] -= nats[place, end - scored[number] : end].sum()
        return [float(one) for one in found]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """What greedy writing gives after each context, up to the first of `until`."""
        texts = [""] * len(requests)
        alike: dict[tuple[int, tuple[str, ...]], list[int]] = {}
        for number, request in enumerate(requests):
            settings = dict(request.args[1])
            if settings.get("do_sample") and float(settings.get("temperature") or 0) > 0:
                raise BadTask("a task asks for sampled text; models are asked for their likeliest text only")
            until = settings.get("until") or []
            most = int(settings.get("max_gen_toks", TOKENS))
            alike.setdefault((most, (until,) if isinstance(until, str) else tuple(until)), []).append(number)
        for (most, until), numbers in alike.items():
            prompts = [self._prompt(requests[i].args[0]) for i in numbers]
            found = continuations(self.model, self.encoder, prompts, tokens=most, stop=until)
            for number, text in zip(numbers, found, strict=True):
                texts[number] = text
        return texts

    def _prompt(self, text: str) -> Any:
        ids = np.asarray(self.encoder.encode([text])[0], np.int64)
        return np.concatenate([[self.encoder.end_of_text], ids])


@dataclass(frozen=True)
class TaskResult:
    """Of one task: its metrics by the harness's names (`acc`, `acc_norm`, ...). version: the task's own."""

    task: str
    version: str
    metrics: list[Metric]


def run(
    model: Predictor, encoder: Encoder, tasks: Sequence[str | Mapping[str, Any]], *, limit: int | None = None,
    level: float = 0.95, download: bool = False,
) -> list[TaskResult]:  # fmt: skip
    """tasks: names that the harness knows, YAML files, or settings as such a file holds them. limit: documents of each
    task. Raises BadTask."""
    import lm_eval
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    asked: list[Any] = []
    for one in tasks:
        if isinstance(one, str) and one.endswith((".yaml", ".yml")):
            if not Path(one).is_file():
                raise BadTask(f"task {one}: there is no such file")
            asked.append(load_yaml(one))
        else:
            asked.append(dict(one) if isinstance(one, Mapping) else one)
    names = ", ".join(one if isinstance(one, str) else str(one.get("task")) for one in asked)
    with _offline(not download):
        try:
            found = lm_eval.simple_evaluate(
                model=HarnessModel(model, encoder),
                tasks=asked,
                limit=limit,
                bootstrap_iters=0,
                log_samples=True,
                # reading the harness's own thousands of task files takes many seconds
                task_manager=TaskManager(include_defaults=any(isinstance(one, str) for one in asked)),
            )
        except WrongUse:
            raise
        except Exception as error:  # the harness, its data sets library and a task's own code raise whatever they like
            raise BadTask(
                f"lm-evaluation-harness cannot run {names}: {type(error).__name__}: {error}. Its data must be on this "
                "machine: name them in a task file (`dataset_path: json`, `dataset_kwargs: {data_files: ...}`)."
            ) from error
    return [_result(name, found, level) for name in sorted(found["samples"])]


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Keeps the Hugging Face libraries from the network; they read these flags when they are called or imported."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    if wanted:
        os.environ.update(dict.fromkeys(names, "1"))
    patched = _set_flags(wanted) if wanted else {}
    try:
        yield
    finally:
        for (module, name), value in patched.items():
            setattr(module, name, value)
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old


def _set_flags(value: bool) -> dict[tuple[Any, str], Any]:
    """The same where they have been imported already."""
    import datasets.config
    import huggingface_hub.constants

    found = {}
    for module, name in ((datasets.config, "HF_HUB_OFFLINE"), (huggingface_hub.constants, "HF_HUB_OFFLINE")):
        found[(module, name)] = getattr(module, name)
        setattr(module, name, value)
    return found


def _moved(context: str, continuation: str) -> tuple[str, str]:
    """Blanks at the end of the context belong to the continuation."""
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation


def _result(task: str, found: Mapping[str, Any], level: float) -> TaskResult:
    results, samples = found["results"][task], found["samples"][task]
    better = found.get("higher_is_better", {}).get(task, {})
    metrics = []
    for key, value in results.items():
        name, _, kind = key.partition(",")
        if name.endswith("_stderr") or not isinstance(value, int | float) or name in ("sample_len", "sample_count"):
            continue
        higher = better.get(name)
        direction: Direction = "neither" if higher is None else "higher" if higher else "lower"
        shown = name if kind in ("none", "") else f"{name} ({kind})"
        of_kind = [one for one in samples if one.get("filter", "none") == (kind or "none")]
        each, error = [one.get(name) for one in of_kind], results.get(f"{name}_stderr,{kind}")
        metrics.append(_metric(shown, float(value), each, direction, error, level))
    return TaskResult(task, str(found.get("versions", {}).get(task, "")), metrics)


def _metric(name: str, value: float, each: list[Any], direction: Direction, error: Any, level: float) -> Metric:
    numbers = [float(one) for one in each if isinstance(one, int | float | np.number) and math.isfinite(float(one))]
    if numbers and len(numbers) == len(each) and abs(float(np.mean(numbers)) - value) <= 1e-9 * max(1.0, abs(value)):
        if all(one in (0, 1) for one in numbers):
            return share(name, np.array(numbers, np.bool_), direction=direction, of="documents", level=level)
        return mean(name, numbers, unit="", direction=direction, of="documents", level=level)
    low = high = math.nan
    if isinstance(error, int | float) and math.isfinite(error):
        from scipy.stats import norm

        half = float(norm.ppf((1 + level) / 2)) * float(error)
        low, high = value - half, value + half
    note = "a figure of the whole set" + ("" if math.isfinite(low) else ": no interval")
    return Metric(name, "", direction, value, low, high, len(each), level, "documents", note)
