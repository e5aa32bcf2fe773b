"""The decoder: counts, causality, seeds, and the hand-written derivatives against autograd."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tamis.models import decoder, fused
from tamis.models.decoder import LADDER, Config, Decoder, ladder


def shaken(config: Config, seed: int = 0) -> Decoder:
    """A decoder whose output projections are not zero, so that every part shows."""
    module = Decoder(config, seed)
    random = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=random) * 0.1)
    return module.eval()


SMALL = Config(vocab=29, context=12, layers=2, width=16, heads=2)
SWITCH = Config(vocab=29, context=12, layers=2, width=16, heads=2, experts=3)


@pytest.mark.parametrize("config", [SMALL, SWITCH])
def test_parameters_are_what_the_module_has(config: Config) -> None:
    module = Decoder(config)
    counted = sum(p.numel() for name, p in module.named_parameters() if not name.startswith(("embedding", "head")))
    assert counted == config.parameters
    assert sum(p.numel() for p in module.parameters()) == config.parameters_in_all


def test_the_ladder_is_named_by_parameters_without_embeddings() -> None:
    found = [ladder(name, 257).parameters for name in LADDER]
    assert found[:3] == [49_152, 196_608, 786_432]
    assert found == sorted(found)
    assert ladder("5.8M", 4096).parameters + 4096 * 256 == pytest.approx(5.77e6, rel=0.01)
    assert ladder("15.7M", 4096).parameters + 4096 * 384 == pytest.approx(15.7e6, rel=0.01)
    with pytest.raises(ValueError, match=r"there are 0\.05M"):
        ladder("1M", 257)


def test_flops_agree_with_torchs_counter() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = Config(vocab=32, context=16, layers=2, width=32, heads=2)
    module = shaken(config)
    ids = torch.randint(0, 32, (3, 17))
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        module.nats(ids).mean().backward()
    # Its first layer's inputs need no gradient in some products; everything else is 6N + attention + head.
    assert counter.get_total_flops() == pytest.approx(config.flops_per_token * 3 * 16, rel=0.05)


@pytest.mark.parametrize("config", [SMALL, SWITCH])
def test_a_token_is_predicted_from_those_before_it(config: Config) -> None:
    module = shaken(config)
    ids = torch.randint(0, 29, (4, 12), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 29
    with torch.no_grad():
        torch.testing.assert_close(module(ids)[:, :7], module(changed)[:, :7])
        assert not torch.allclose(module(ids)[:, 7], module(changed)[:, 7])
        # Padding on the right, or other rows in the batch, change nothing.
        torch.testing.assert_close(module(ids[:1, :5]), module(ids)[:1, :5], atol=1e-5, rtol=1e-5)


def test_nats_are_the_loss_of_the_logits() -> None:
    module = shaken(SMALL)
    ids = torch.randint(0, 29, (2, 13))
    want = F.cross_entropy(module(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(2, 12)
    torch.testing.assert_close(module.nats(ids), want)


def test_it_starts_uniform_and_by_its_seed_alone() -> None:
    one, same, other = Decoder(SMALL, 5), Decoder(SMALL, 5), Decoder(SMALL, 6)
    torch.manual_seed(99)
    ids = torch.randint(0, 29, (2, 13))
    assert float(one.nats(ids).mean().detach()) == pytest.approx(math.log(29), abs=0.02)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embedding.weight, other.embedding.weight)


def test_only_distance_matters_to_rotary_positions() -> None:
    qkv = torch.randn(1, 1, 3, 1, 8).expand(1, 12, 3, 1, 8).contiguous()
    angles = torch.outer(torch.arange(12).float(), decoder._frequencies(8))
    q, k, _ = fused.queries_keys_values(qkv, torch.polar(torch.ones_like(angles), angles))
    scores = (q @ k.mT)[0, 0]
    torch.testing.assert_close(scores[3, 1], scores[9, 7])
    assert not torch.isclose(scores[3, 1], scores[9, 1])


def test_too_long_and_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="context of this model is 12"):
        Decoder(SMALL)(torch.zeros(1, 13, dtype=torch.long))
    with pytest.raises(ValueError, match="even number"):
        Config(vocab=8, width=10, heads=4)
    with pytest.raises(ValueError, match="at least 2"):
        Config(vocab=8, experts=1)


def test_bf16_is_near_float32() -> None:
    module = shaken(SMALL)
    ids = torch.randint(0, 29, (2, 13))
    exact = module.nats(ids)
    module.dtype = torch.bfloat16
    near = module.nats(ids)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, atol=0.1, rtol=0.1)
    assert not torch.equal(near, exact)


def plain(qkv: torch.Tensor, angles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    q, k, v = qkv.unbind(2)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]

    def turned(x: torch.Tensor) -> torch.Tensor:
        x = F.rms_norm(x, (x.shape[-1],), eps=1e-6)
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).transpose(1, 2)

    return turned(q), turned(k), v.transpose(1, 2)


def test_written_out_derivatives_are_those_of_autograd() -> None:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(3, 5, 8, generator=random, requires_grad=True)
    weight = torch.randn(3, 5, 8, generator=random)
    for ours, theirs in (
        (fused.norm, lambda x: F.rms_norm(x, (8,), eps=1e-6)),
        (fused.squared_relu, lambda x: F.relu(x).square()),
    ):
        torch.testing.assert_close(ours(x), theirs(x))
        found, want = (torch.autograd.grad((f(x) * weight).sum(), x)[0] for f in (ours, theirs))
        torch.testing.assert_close(found, want)
    qkv = torch.randn(2, 7, 3, 2, 6, generator=random, requires_grad=True)
    angles = torch.outer(torch.arange(7).float(), decoder._frequencies(6))
    ours, theirs = fused.queries_keys_values(qkv, torch.polar(torch.ones_like(angles), angles)), plain(qkv, angles)
    weights = [torch.randn(2, 2, 7, 6, generator=random) for _ in range(3)]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)
    found, want = (
        torch.autograd.grad(sum((a * w).sum() for a, w in zip(made, weights, strict=True)), qkv)[0]
        for made in (ours, theirs)
    )
    torch.testing.assert_close(found, want)
