import numpy as np
import pytest

from proof_models import Bigram
from tamis.proof import cost


@pytest.fixture(scope="module")
def torch(require):
    try:
        import torch
    except ImportError:
        require(False, "torch is not installed")
    torch.set_num_threads(1)
    return torch


@pytest.mark.parametrize(("layers", "width", "heads"), [(2, 32, 1), (3, 64, 2)])
def test_the_formula_is_what_pytorch_counts(torch, layers, width, heads):
    from tamis.models.decoder import Config, Decoder

    config = Config(vocab=100, context=48, layers=layers, width=width, heads=heads)
    module = Decoder(config).train()
    head = module.head.weight.numel()
    formula = cost.forward_flops(config.active + head, layers, width, config.context)

    assert cost.counted_flops(module, config.context) == formula
    assert formula == config.flops_per_token / 3
    assert module.training


def test_a_transformers_model_is_counted(torch, require):
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        require(False, "transformers is not installed")
    shape = GPT2Config(vocab_size=90, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    module = GPT2LMHeadModel(shape)
    blocks = 2 * 12 * 16**2
    assert cost.counted_flops(module, 32) == cost.forward_flops(blocks + 90 * 16, 2, 16, 32)
    number, size = cost.parameters(module)
    assert number.value == sum(p.numel() for p in module.parameters())  # the head is the embedding
    assert size.value == 4 * number.value


def test_what_two_names_share_counts_once(torch):
    module = torch.nn.ModuleList([torch.nn.Linear(4, 3, bias=False), torch.nn.Linear(4, 3, bias=False)])
    assert cost.parameters(module)[0].value == 24
    module[1].weight = module[0].weight
    assert cost.parameters(module)[0].value == 12


def test_speed_and_memory_say_what_they_are(torch):
    calls = []

    class Counted(Bigram):
        def nats(self, ids):
            calls.append(ids.shape)
            return super().nats(ids)

    found = cost.evaluation_speed(Counted(np.zeros((9, 9))), np.zeros((3, 11), int), seconds=0)
    assert len(calls) == 6
    assert (found.n, found.of, found.unit, found.direction) == (5, "passes", "token/s", "higher")
    assert found.low <= found.value <= found.high
    assert cost.peak_memory().value > 10e6
    wall, cpu = cost.training_speed(1000, 10.0, 5.0)
    assert (wall.value, cpu.value) == (100, 200)
    forward, training = cost.flops(50.0, 1000)
    assert (forward.value, training.value) == (50, 150_000)
