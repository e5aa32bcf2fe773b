from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tamis.corpus.windows import Windows


@pytest.fixture(autouse=True)
def _torch(require: Callable[[object, str], None]) -> None:
    require(find_spec("torch"), "torch is not installed: pip install 'tamis[train]'")


def batches(folder: Path, workers: int = 0, **options: int):  # type: ignore[no-untyped-def]
    from tamis.corpus.dataset import TokenBatches

    return TokenBatches(Windows(folder / "tokens", 1024, 2, seed=9, **options), workers, epochs=2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_what_an_unbroken_one_sees(corpus: Path, workers: int) -> None:
    import torch

    whole = [ids.clone() for ids in batches(corpus)]
    assert len(whole) == 2 * len(batches(corpus))
    assert whole[0].shape == (2, 1025)
    assert whole[0].dtype == torch.int64
    for stop in (1, len(whole) // 2 + 3):
        first = batches(corpus, workers)
        head = [ids.clone() for ids, _ in zip(first, range(stop), strict=False)]
        second = batches(corpus, 2 if workers == 0 else 0)
        state = first.state_dict()
        # zip took one more batch than it paired only if the reader counted it
        second.load_state_dict(state)
        tail = [ids.clone() for ids in second]
        taken = state["epoch"] * len(first) + state["step"]
        assert taken in (stop, stop + 1)
        assert all(torch.equal(a, b) for a, b in zip(head, whole, strict=False))
        assert len(tail) == len(whole) - taken
        assert all(torch.equal(a, b) for a, b in zip(tail, whole[taken:], strict=True))


def test_other_data_are_not_resumed(corpus: Path) -> None:
    state = batches(corpus).state_dict()
    with pytest.raises(ValueError, match="cannot resume: seed"):
        batches(corpus).load_state_dict({**state, "seed": 1})
    with pytest.raises(ValueError, match="cannot resume: index"):
        batches(corpus).load_state_dict({**state, "index": "0"})


def test_ranks_see_different_sequences(corpus: Path) -> None:
    one, two = (next(iter(batches(corpus, rank=rank, world=2))) for rank in (0, 1))
    assert not np.array_equal(one.numpy(), two.numpy())
