import numpy as np
import pytest

from proof_models import Bigram, Bytes, Recall
from tamis.proof.generation import continuations

ENCODER = Bytes()


def one_by_one(model, prompt, tokens, stop):
    """Greedy writing as plainly as it can be written."""
    row, text = list(prompt), ""
    for _ in range(tokens):
        token = int(model.logits(np.array([row[-model.context :]]))[0, -1].argmax())
        if token == 256:
            break
        row.append(token)
        text = ENCODER.decode(row[len(prompt) :])
        if any(one in text for one in stop):
            break
    return min((text.split(one)[0] for one in stop), key=len) if stop else text


class Wide(Bigram):
    """Depends on the last three tokens, so that a wrong place, row or padding shows."""

    def logits(self, ids):
        assert ids.shape[1] <= self.context
        out = self.table[ids].copy()
        for back in (1, 2):
            out[:, back:] += self.table[(ids[:, :-back] * 7 + back) % 257]
        return out


@pytest.mark.parametrize("batch_tokens", [1, 60, 4000])
def test_many_at_once_write_what_each_writes_alone(batch_tokens):
    rng = np.random.default_rng(0)
    model = Wide(rng.normal(size=(257, 257)), context=20)
    prompts = [rng.integers(0, 256, n) for n in (1, 30, 4, 4, 11, 18)]
    stop = ["a", "\n"]
    found = continuations(model, ENCODER, prompts, tokens=25, stop=stop, batch_tokens=batch_tokens)
    assert found == [one_by_one(model, one, 25, stop) for one in prompts]
    assert len(set(found)) > 3


def test_writing_ends_where_it_should():
    rows = [np.concatenate([[256], ENCODER.encode(["ab cd. ef"])[0], [256]])]
    model = Recall(rows, 257)
    prompt = np.array([256, ord("a")])
    assert continuations(model, ENCODER, [prompt], stop=["."]) == ["b cd"]
    assert continuations(model, ENCODER, [prompt], stop=[]) == ["b cd. ef"]  # to the end of the text
    assert continuations(model, ENCODER, [prompt], tokens=3, stop=["."]) == ["b c"]
    assert continuations(model, ENCODER, []) == []
    seen = []
    continuations(model, ENCODER, [prompt, prompt], batch_tokens=1, done=seen.append)
    assert seen == [1, 2]
