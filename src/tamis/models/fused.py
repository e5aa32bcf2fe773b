"""Three small operations of the decoder with their derivatives written out.

Autograd's own chain for each is correct and reads every number several times more often: with these a training step of
0.8M on a CPU costs 13% less (docs/training.md). tests/models/test_decoder.py holds them to the plain forms in their
docstrings, values and gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

EPSILON = 1e-6


class _Norm(Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        inverse = _inverse(x)
        y = x * inverse
        context.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(context: Any, g: Tensor) -> Tensor:
        y, inverse = context.saved_tensors
        return _norm_backward(g, y, inverse)


def norm(x: Tensor) -> Tensor:
    """x / sqrt(mean(x^2)) over the last dimension (RMSNorm; Zhang and Sennrich 2019)."""
    return _Norm.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class _SquaredReLU(Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        positive = x.clamp_min(0)
        context.save_for_backward(positive)
        made: Tensor = positive * positive
        return made

    @staticmethod
    def backward(context: Any, g: Tensor) -> Tensor:
        (positive,) = context.saved_tensors
        made: Tensor = (g * positive).mul_(2)
        return made


def squared_relu(x: Tensor) -> Tensor:
    """max(x, 0)^2 (So et al. 2021, "Primer")."""
    return _SquaredReLU.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class _QueriesKeysValues(Function):
    @staticmethod
    def forward(context: Any, qkv: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        qk = qkv[:, :, :2].float()
        inverse = _inverse(qk)  # (B, T, 2, H, 1)
        turned = _rotate(qk * inverse, turn)
        context.save_for_backward(turned, inverse, turn)
        out = turned.to(qkv.dtype).movedim(3, 1)  # (B, H, T, 2, K)
        return out[:, :, :, 0], out[:, :, :, 1], qkv[:, :, 2].transpose(1, 2)

    @staticmethod
    def backward(context: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, None]:
        turned, inverse, turn = context.saved_tensors
        batch, length, _, heads, size = turned.shape
        out = torch.empty(batch, length, 3, heads, size, dtype=v.dtype)
        g = torch.stack([q.transpose(1, 2), k.transpose(1, 2)], 2).float()
        # A rotation keeps dot products, so the norm's derivative may be taken after it.
        out[:, :, :2] = _rotate(_norm_backward(g, turned, inverse), turn.conj())
        out[:, :, 2] = v.transpose(1, 2)
        return out, None


def queries_keys_values(qkv: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """qkv (B, T, 3, H, K) -> queries, keys, values (B, H, T, K) each. Queries and keys are normalised (Henry et al.
    2020), then neighbouring numbers are turned by their position's angles (Su et al. 2021): turn (T, K / 2) complex.
    """
    return _QueriesKeysValues.apply(qkv, turn)  # type: ignore[no-any-return, no-untyped-call]


def _inverse(x: Tensor) -> Tensor:
    squares: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
    return (squares / x.shape[-1] + EPSILON).rsqrt_()


def _norm_backward(g: Tensor, y: Tensor, inverse: Tensor) -> Tensor:
    """y = x * inverse; the derivative by x of <g, y>: (g - y * mean(g * y)) * inverse."""
    mean = (g * y).mean(-1, keepdim=True)
    return torch.addcmul(g, y, mean, value=-1).mul_(inverse)


def _rotate(x: Tensor, turn: Tensor) -> Tensor:
    """x (B, T, 2, H, K) float32, turn (T, K / 2)."""
    pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn[:, None, None]).view(x.shape)
