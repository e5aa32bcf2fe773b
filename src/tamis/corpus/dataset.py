"""Token shards for PyTorch (the extra `train`): batches with exact resume, for any number of ranks and workers.

Importing this module needs torch; nothing else of Tamis imports it.

>>> for ids in TokenBatches(Windows("corpora/main/tokens", context=1024, batch=8)):   # doctest: +SKIP
...     loss = model(ids[:, :-1], ids[:, 1:])
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tamis.corpus.windows import Windows

try:
    import torch
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info
except ImportError as error:
    raise ImportError("reading shards as tensors needs PyTorch: pip install 'tamis[train]'") from error


class Rest(IterableDataset):  # type: ignore[type-arg, misc, unused-ignore]
    """The batches of one epoch from `step` on: int64 tensors (B, context + 1).

    For a DataLoader with batch_size=None. It takes batches from its workers in turn, so worker w of W gives every
    W-th batch and the order is that of a single reader.
    """

    def __init__(self, windows: Windows, epoch: int = 0, step: int = 0) -> None:
        self.windows, self.epoch, self.step = windows, epoch, step

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.step + first, self.windows.steps, stride):
            yield torch.from_numpy(self.windows(self.epoch, step))

    def __len__(self) -> int:
        return self.windows.steps - self.step


class TokenBatches:
    """Iterates over int64 tensors (B, context + 1), epoch after epoch, for ever where `epochs` is None.

    `state_dict` counts batches handed to the caller, not batches that workers read ahead, so a run that stops after
    any batch and resumes, with more or fewer workers, sees exactly the batches that an unbroken run sees.
    """

    def __init__(self, windows: Windows, workers: int = 0, epochs: int | None = 1) -> None:
        self.windows, self.workers, self.epochs = windows, workers, epochs
        self.epoch = self.step = 0  # of the next batch

    def __len__(self) -> int:
        """Batches of one epoch on this rank."""
        return self.windows.steps

    def __iter__(self) -> Iterator[torch.Tensor]:
        while self.epochs is None or self.epoch < self.epochs:
            rest = Rest(self.windows, self.epoch, self.step)
            for ids in DataLoader(rest, batch_size=None, num_workers=self.workers):
                # Counted before it is handed out: a caller that saves its state after this batch has had it.
                self.step += 1
                if self.step == self.windows.steps:
                    self.epoch, self.step = self.epoch + 1, 0
                yield ids

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch stands, and what must be equal to continue there."""
        return {**self.windows.identity(), "epoch": self.epoch, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state` was taken. Raises ValueError where the data or their order would differ."""
        for name, value in self.windows.identity().items():
            if state.get(name) != value:
                raise ValueError(
                    f"cannot resume: {name} was {state.get(name)!r} when the state was saved and is {value!r} now, "
                    "so the batches would not be the same"
                )
        self.epoch, self.step = int(state["epoch"]), int(state["step"])
