"""Muon's orthogonal updates, and AdamW against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tamis.models.muon import Group, Optimizer, matrices, orthogonal


@pytest.mark.parametrize("shape", [(2, 16, 16), (3, 16, 64), (2, 64, 16), (1, 16, 24)])
def test_an_update_is_nearly_orthogonal_and_points_the_same_way(shape: tuple[int, int, int]) -> None:
    u, values, v = torch.linalg.svd(torch.randn(shape, generator=torch.Generator().manual_seed(0)), full_matrices=False)
    x = u @ torch.diag_embed(values.clamp_min(0.2)) @ v
    made = orthogonal(x)
    assert made.shape == x.shape
    values = torch.linalg.svdvals(made)
    assert float(values.min()) > 0.9
    assert float(values.max()) < 1.1
    assert float((made * (u @ v)).sum() / (made.norm() * (u @ v).norm())) > 0.995


def test_scale_does_not_matter_and_zero_stays_zero() -> None:
    x = torch.randn(1, 8, 8)
    torch.testing.assert_close(orthogonal(x), orthogonal(x * 1000), atol=1e-4, rtol=1e-3)
    assert (orthogonal(torch.zeros(1, 8, 8)) == 0).all()


def test_adamw_is_torchs() -> None:
    start = torch.randn(5, 3)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer = Optimizer([Group("adamw", ("w",), (ours,), 0.01, 0.1, (0.9, 0.95))])
    peer = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1, betas=(0.9, 0.95), eps=1e-10)
    for step in range(5):
        gradient = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        optimizer.step(1.0)
        peer.step()
    torch.testing.assert_close(ours, theirs)


def test_a_step_of_muon_has_the_stated_size() -> None:
    weight = nn.Parameter(torch.zeros(8, 32))
    optimizer = Optimizer([Group("muon", ("w",), (weight,), 0.02)])
    weight.grad = torch.randn(8, 32)
    optimizer.step(0.5)
    assert float(torch.linalg.matrix_norm(weight.detach(), 2)) == pytest.approx(0.01 * (8 / 32) ** 0.5, rel=0.1)


def test_state_of_another_model_is_refused() -> None:
    one = Optimizer([Group("muon", ("w",), (nn.Parameter(torch.zeros(2, 2)),), 0.1)])
    with pytest.raises(ValueError, match="another model"):
        one.load({"w.momentum": torch.zeros(3, 3)}, 1)


def test_matrices_of_a_strange_module_are_its_linear_layers_but_not_its_head() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.inner, self.gru = nn.Embedding(5, 4), nn.Linear(4, 4), nn.GRU(4, 4)
            self.head = nn.Linear(4, 5)

    net = Net()
    assert [id(p) for p in matrices(net)] == [id(net.inner.weight)]
