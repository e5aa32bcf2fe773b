import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof_models import Bigram, Bytes
from tamis.models.model import TorchModel, batches
from tamis.proof.likelihood import Losses, losses, text_losses, windows
from tamis.proof.metric import NothingCounted

rng = np.random.default_rng(1)
TABLE = rng.normal(size=(257, 257))


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(1, 9), st.integers(0, 8))
def test_every_token_is_a_target_once(lengths, context, overlap):
    overlap %= context
    ids = [np.arange(1, n + 1) + 100 * i for i, n in enumerate(lengths)]
    cut = windows(ids, context, end_of_text=0, overlap=overlap)
    seen = [row[1 + skip :] for row, skip in zip(cut.rows, cut.skip, strict=True)]
    assert all(len(row) <= context + 1 for row in cut.rows)
    assert np.concatenate([*seen, np.zeros(0, int)]).tolist() == np.concatenate([*ids, np.zeros(0, int)]).tolist()


def test_a_model_that_knows_nothing_needs_log2_of_its_vocabulary():
    found = text_losses(Bigram(np.zeros((257, 257))), Bytes(), ["héllo wörld, and much more of it", "x"])
    assert found.tokens.tolist() == found.bytes.tolist()
    assert found.bits_per_byte().value == pytest.approx(math.log2(257))
    assert found.bytes_per_token() == 1


def test_padding_batches_and_windows_do_not_change_a_loss():
    texts = ["a", "a much longer text than the context of the model", "", "middle one"]
    one = text_losses(Bigram(TABLE, context=7), Bytes(), texts)
    ids, sizes = Bytes().encode(texts), [len(t) for t in texts]
    other = losses(Bigram(TABLE, context=7), ids, sizes, end_of_text=256, batch_tokens=1)
    wide = losses(Bigram(TABLE, context=7), ids, sizes, end_of_text=256, overlap=3)
    assert np.allclose(one.nats, other.nats)
    assert np.allclose(one.nats, wide.nats)
    assert one.nats[2] == 0
    assert one.tokens[2] == 0


def test_domains_pairs_and_the_table():
    texts = [f"text {i} of some length" for i in range(30)]
    domains = ["books", "web"] * 15
    a = text_losses(Bigram(TABLE), Bytes(), texts, domains=domains)
    b = text_losses(Bigram(0.5 * TABLE), Bytes(), texts, domains=domains)
    assert list(a.by_domain()) == ["books", "web"]
    assert a.by_domain()["web"].n == 15
    gap = b.minus(a)
    assert gap.value == pytest.approx(b.bits_per_byte().value - a.bits_per_byte().value)
    assert gap.high < 0  # smaller logits of random text lose less
    again = Losses.from_table(a.table())
    assert again.bits_per_byte("web") == a.bits_per_byte("web")
    with pytest.raises(NothingCounted, match="books, web"):
        a.bits_per_byte("wiki")
    with pytest.raises(ValueError, match="same documents"):
        a.minus(text_losses(Bigram(TABLE), Bytes(), texts[1:], domains=domains[1:]))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_diverged_model_is_refused():
    table = TABLE.copy()
    table[:, ord("e")] = np.nan
    with pytest.raises(ValueError, match="diverged"):
        text_losses(Bigram(table), Bytes(), ["e"], documents=["d1"])


def test_batches_hold_every_row_once():
    rows = [np.arange(n) for n in (5, 1, 9, 3, 3)]
    seen = []
    for numbers, block in batches(rows, 8):
        seen += numbers
        for place, number in enumerate(numbers):
            assert block[place, : len(rows[number])].tolist() == rows[number].tolist()
        assert len(numbers) == 1 or block.size <= 8
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_a_torch_module_gives_the_same(monkeypatch):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding.from_pretrained(torch.tensor(TABLE, dtype=torch.float32))
            self.drop = torch.nn.Dropout(0.5)  # must be off

        def forward(self, ids):
            return self.drop(self.table(ids))

    module = Module().train()
    texts = ["one text", "and another, a longer one"]
    found = text_losses(TorchModel(module, 16), Bytes(), texts)
    assert np.allclose(found.nats, text_losses(Bigram(TABLE), Bytes(), texts).nats, atol=1e-4)
    assert module.training
    # a vocabulary too large for one batch is read in pieces
    monkeypatch.setattr("tamis.models.model.MOST_LOGITS", 257 * 9)
    ids = rng.integers(0, 257, (5, 9))
    assert np.allclose(TorchModel(module, 16).nats(ids), Bigram(TABLE).nats(ids), atol=1e-4)
    assert TorchModel(module, 16).nats(ids[:, :1]).shape == (5, 0)
