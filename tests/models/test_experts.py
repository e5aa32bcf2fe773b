"""Switch experts: balance, capacity, and that a token's own cost is a dense MLP's."""

from __future__ import annotations

import pytest
import torch

from tamis.models.decoder import Config, Decoder
from tamis.models.experts import BALANCE, CAPACITY, Switch, Z


def layer(experts: int = 4) -> Switch:
    made = Switch(8, 16, experts)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape, generator=random))
    return made


def test_every_token_passes_its_best_expert_weighed_by_its_chance() -> None:
    made = layer().eval()
    x = torch.randn(2, 9, 8)
    out = made(x, torch.float32)
    for b in range(2):
        for t in range(9):
            chance = (made.router @ x[b, t]).softmax(0)
            best = int(chance.argmax())
            want = chance[best] * (made.down[best] @ (made.up[best] @ x[b, t]).relu().square())
            torch.testing.assert_close(out[b, t], want, rtol=1e-4, atol=1e-4)


def test_the_balance_term_is_least_when_experts_share_equally() -> None:
    made = layer()
    with torch.no_grad():
        made.router.zero_()
        made.router[0, 0] = 30.0
    x = torch.randn(4, 16, 8)
    x[..., 0] = 1.0
    made(x, torch.float32)
    one_sided = float(made.loss)
    with torch.no_grad():
        made.router.copy_(torch.eye(8)[:4] * 30)
    equal = torch.zeros(4, 16, 8)
    for expert in range(4):
        equal[expert, :, expert] = 1.0
    made(equal, torch.float32)
    z = Z * 30.0**2
    assert made.load.tolist() == [16, 16, 16, 16]
    assert float(made.loss) == pytest.approx(BALANCE * 1.0 + z, rel=0.01)
    assert one_sided == pytest.approx(BALANCE * 4.0 + z, rel=0.01)


def test_capacity_drops_in_training_only() -> None:
    made = layer(2)
    with torch.no_grad():
        made.router.zero_()
        made.router[0, 0] = 10.0
    x = torch.randn(1, 16, 8)
    x[..., 0] = 1.0
    out = made.train()(x, torch.float32)
    room = int(CAPACITY * 16 / 2)
    assert made.dropped == pytest.approx((16 - room) / 16)
    assert (out[0, room:] == 0).all()
    assert (out[0, :room] != 0).any(-1).all()
    made.eval()(x, torch.float32)
    assert made.dropped == 0.0


def test_a_token_costs_what_it_costs_dense_and_the_router() -> None:
    dense, sparse = Config(64, 32, 2, 32, 1), Config(64, 32, 2, 32, 1, experts=8)
    assert sparse.active - dense.active == 2 * 32 * 8
    assert sparse.parameters > 5 * dense.parameters
    assert sparse.flops_per_token < 1.05 * dense.flops_per_token


def test_the_router_learns_from_the_loss_and_from_its_terms() -> None:
    module = Decoder(Config(32, 16, 1, 16, 1, experts=2))
    with torch.no_grad():
        module.blocks[0].mlp.down.normal_()
    module.nats(torch.randint(0, 32, (2, 17))).mean().backward()
    assert float(module.blocks[0].mlp.router.grad.norm()) > 0
    assert float(module.extra()) > 0
