"""Claim (f): the other two architectures, distances, and the rule of the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.proof.claims.claim import Verdict

torch = pytest.importorskip("torch")

from tamis.models.data import ArrayFeed  # noqa: E402
from tamis.models.decoder import Config, Decoder  # noqa: E402
from tamis.models.model import TorchModel  # noqa: E402
from tamis.models.settings import Settings  # noqa: E402
from tamis.models.training import fit  # noqa: E402
from tamis.proof.agreement_of_models import alike  # noqa: E402
from tamis.proof.claims import _networks as networks  # noqa: E402
from tamis.proof.claims import _training as training  # noqa: E402
from tamis.proof.claims import architectures as claim  # noqa: E402

KINDS = [networks.Recurrent, networks.Convolutional]


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_later_changes_nothing_before(kind) -> None:
    module = kind(264, 16, 64, seed=1)
    torch.nn.init.normal_(module.head.weight)
    ids = torch.randint(0, 256, (2, 64))
    other = ids.clone()
    other[:, 40:] = (other[:, 40:] + 1) % 256
    with torch.no_grad():
        first, second = module(ids), module(other)
    assert torch.allclose(first[:, :40], second[:, :40], atol=1e-5)
    assert not torch.allclose(first[:, 40:], second[:, 40:], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_networks_are_as_large_as_the_decoder(kind) -> None:
    config = Config(257, 128, 4, 32, 1)
    width = networks.as_large(kind, config.parameters_in_all, 257, 128)
    have = networks.count(kind(257, width, 128))
    assert abs(have / networks.count(Decoder(config)) - 1) < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_networks_learn_what_follows_from_context(kind) -> None:
    """The same words over and over: knowing only how often each byte occurs leaves 3 bits a byte and more."""
    torch.set_num_threads(1)  # as in trainings: threads wait for each other on a shared machine
    tokens = np.frombuffer(b"the quick brown fox jumps over the lazy dog. " * 200, np.uint8).astype(np.uint16)
    module = kind(264, 24, 32, seed=0)
    curve = fit(module, ArrayFeed(tokens, 32, 8), Settings(steps=60, batch=8, lr=0.05))
    assert curve.loss[0] / np.log(2) > 7.5
    assert curve.final() / np.log(2) < 2.0


def test_equal_seeds_make_equal_networks() -> None:
    first, second, third = (networks.Recurrent(264, 16, 32, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.embedding.weight, second.embedding.weight)
    assert not torch.equal(first.embedding.weight, third.embedding.weight)


def test_distance_is_that_of_agreement_of_models() -> None:
    models = [networks.Convolutional(257, 16, 48, seed=seed) for seed in (1, 2)]
    for module in models:
        torch.nn.init.normal_(module.head.weight)
    document = np.random.default_rng(0).integers(0, 256, 48)
    row = np.concatenate([[256], document])[None]
    with torch.no_grad():
        first, second = (claim.prediction(training.half(module, row)) for module in models)
    known = alike(*(TorchModel(module, 48) for module in models), [document], end_of_text=256)
    assert claim.shannon(first, second).mean() == pytest.approx(known.jensen_shannon().value, abs=2e-3)
    assert (first.top == second.top).mean() == pytest.approx(known.top_1().value, abs=0.05)
    assert claim.shannon(first, first).max() < 1e-5


def test_distance_of_what_has_nothing_in_common_is_one_bit() -> None:
    said = np.full((2, 1, 1, 4), -30.0, np.float16)
    said[0, ..., 0] = said[1, ..., 1] = 0
    first, second = (claim.prediction(one) for one in said)
    assert claim.shannon(first, second) == pytest.approx(1, abs=1e-4)


def test_pairs_of_a_replicate_stay_in_it() -> None:
    found = claim.pairs(1, 3)
    assert len(found["architectures"]) == 6
    assert len(found["corpora"]) == 3
    assert all(a[2] == b[2] == 1 and a[1] == b[1] and a[0] != b[0] for a, b in found["architectures"])
    assert all(a[2] == b[2] == 1 and a[1] != b[1] and a[0] == b[0] for a, b in found["corpora"])
    assert all(a[:2] == b[:2] and a[2] != b[2] for a, b in found["seeds"])


def _distances(near: list[float], far: list[float]) -> claim.Distances:
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal((4, len(claim.SHARES), 1))
    shape = (4, len(claim.SHARES), 1)
    first, second = (np.broadcast_to(np.array(one)[None, :, None], shape) for one in (near, far))
    tops = dict.fromkeys(("architectures", "corpora", "seeds"), first)
    return claim.Distances(first * noise, second.copy(), 0.2 * first, tops)


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [
        ([0.10, 0.09, 0.08, 0.07, 0.06, 0.05], [0.1] * 6, Verdict.HOLDS),
        ([0.20, 0.19, 0.18, 0.17, 0.16, 0.15], [0.1] * 6, Verdict.DOES_NOT_HOLD),  # further apart at the end
        ([0.05, 0.06, 0.07, 0.08, 0.085, 0.09], [0.1] * 6, Verdict.DOES_NOT_HOLD),  # the ratio rises
        ([0.09] * 6, [0.1] * 6, Verdict.NOT_SHOWN),  # nearer, but no nearer with training
        ([0.10, 0.09, 0.09, 0.09, 0.09, 0.05], [0.1] * 6, Verdict.NOT_SHOWN),  # only the falling rate brings them near
    ],
)
def test_verdict_follows_from_the_intervals(near, far, verdict) -> None:
    assert claim.judge(_distances(near, far), 1000).verdict is verdict


def test_one_of_two_refutes_only_at_the_corrected_level() -> None:
    """R at the end whose 95% interval lies just above 1, and whose 97.5% interval does not."""
    from tamis.proof.comparison import mean_interval

    scatter = np.array([-1.5, -0.5, 0.5, 1.5])
    logs = 0.01 * scatter + 0.0225
    assert mean_interval(logs)[0] > 0 > mean_interval(logs, claim.REFUTES)[0]
    near = np.full((4, len(claim.SHARES), 1), 0.1)
    near[:, -1, 0] *= np.exp(logs)
    tops = dict.fromkeys(("architectures", "corpora", "seeds"), near)
    found = claim.Distances(near, np.full_like(near, 0.1), 0.2 * near, tops)
    assert claim.judge(found, 1000).verdict is Verdict.NOT_SHOWN
    near[:, -1, 0] *= np.exp(0.02)
    assert claim.judge(found, 1000).verdict is Verdict.DOES_NOT_HOLD


def test_held_out_documents_that_share_words_are_counted() -> None:
    from tamis.proof.claims._texts import shared

    rng = np.random.default_rng(0)
    docs = [(str(d), " ".join(f"w{int(k)}" for k in rng.integers(0, 5000, 40))) for d in range(4)]
    assert shared({"one": docs[:2], "two": docs[2:3]}, [docs[3][1]]) == (
        "one (2 documents), two (1 document); none of them share 13 words with what is trained on"
    )
    assert "; 1 of them share" in shared({"one": docs[:2]}, [docs[1][1]])
    assert "; 2 of them share" in shared({"one": docs[:2]}, [docs[0][1], docs[1][1]])


def test_equal_loss_takes_the_better_model_back_to_where_it_was_as_good() -> None:
    """The decoder is further than the others, which are where it was at half of its training: at equal loss there is
    no distance left between architectures."""
    truth = {"text": np.zeros(4, np.int64)}
    sure = dict(zip(claim.SHARES, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8), strict=True))

    def said(p: float, corpus: int) -> dict[str, np.ndarray]:
        rest = [(1 - p) * 0.7, (1 - p) * 0.3]
        return {"text": np.log(np.tile([p, *(rest if corpus else rest[::-1])], (1, 4, 1))).astype(np.float16)}

    found = {
        (net, corpus, replicate): {
            share: said((p if net == "decoder" else min(p, 0.59)) - 0.01 * replicate, corpus)
            for share, p in sure.items()
        }
        for net in claim.NETWORKS
        for corpus in (0, 1)
        for replicate in (0, 1)
    }
    at_the_end = claim.measure(found, ["text"], 2, lambda _: None)
    assert (at_the_end.ratio[:, -1] > 0.1).all()
    assert claim.equal_loss(found, claim.losses(found, truth), 4, 2).value < 0.01


def test_a_job_gives_what_was_asked_at_the_steps_asked() -> None:
    tokens = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint16)
    texts = {"one": np.arange(33)[None].astype(np.int64)}
    job = training.Job("one", tokens, 4, 0, texts, training.bits, (2, 4), (2, 8, 1), "convolutional", 32, 2)
    found = training.trained(job)
    assert list(found) == [2, 4]
    assert found[2]["one"].shape == (1,)
    assert found[2]["one"] != found[4]["one"]
    assert found == training.trained(job)


def test_rows_do_not_overlap_and_say_what_is_missing() -> None:
    from tamis.proof.claims._texts import rows
    from tamis.proof.claims.claim import Missing

    docs = [("a", "0123456789" * 10)]
    found = rows(docs, 8, 5)
    assert found.shape == (5, 9)
    assert (np.diff(found[:, 0]) != 0).any()
    with pytest.raises(Missing, match="windows of 8"):
        rows(docs, 8, 50)


def test_corpora_of_different_kinds_on_real_data(data_dir) -> None:
    from tamis.proof.claims._texts import kinds, size

    found = kinds(50_000, 20_000, 0, None)
    assert found.names[1:] == ("Reddit posts", "novels")
    assert min(size(found.first), size(found.second)) >= 50_000
    assert size(found.reference) >= 20_000


def test_corpora_of_this_machine_where_there_is_nothing_else(monkeypatch) -> None:
    from tamis.proof.claims._texts import kinds, size

    monkeypatch.delenv("TAMIS_DATA", raising=False)
    found = kinds(30_000, 10_000, 0, None)
    assert found.names[0] == "docstrings"
    assert len(set(found.names)) == 3
    assert size(found.first) >= 30_000
    names = [{name for name, _ in docs} for docs in (found.first, found.second, found.reference)]
    assert not names[0] & names[1]
    assert not (names[0] | names[1]) & names[2]
