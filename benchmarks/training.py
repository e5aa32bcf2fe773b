"""Training a small decoder beside transformers' GPT-2 of the same shape with AdamW, on the same tokens, in one run.

    TAMIS_DATA=FOLDER python benchmarks/training.py [--quick] [--json] [--sizes 0.2M,0.8M] [--precision fp32]

Rows {what, unit, tamis, peer_name, peer, ratio}; ratio > 1 says that Tamis is better. Speed: tokens a CPU second of one
thread, whole steps (forward, backward, clipping, update), 16 x 256 tokens, both sides in turn, the best step counts.
Both sides multiply at the same precision, by default the fastest that is measured here (the peer under autocast where
that is bf16), with fused AdamW and SDPA for the peer, dropout off. Same layers, width and heads; Tamis's head is of its
own, the peer's is tied to the embedding, as shipped. Vocabulary: 257 byte ids at 0.2M and 0.8M, 4,096 random ids above.

Bits per byte: 0.2M, 150 steps (20 with --quick) on 6 MB of text, then held-out text, one seed. Both sides get the same
tokens, not the same CPU seconds (both are in the row). The peer has the better of two learning rates on the held-out
text itself; Tamis takes its defaults.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import pyarrow.parquet as pq
import torch

from tamis.models import precision
from tamis.models.data import VOCABULARY, ArrayFeed, bytes_of
from tamis.models.decoder import LADDER, Decoder, ladder
from tamis.models.hf import causal
from tamis.models.loop import Loop
from tamis.models.settings import Settings
from tamis.models.training import fit

CONTEXT, BATCH = 256, 16
STEPS = {"0.2M": 6, "0.8M": 4, "5.8M": 2, "15.7M": 2}
RATES = (2e-3, 6e-3)  # of the peer; both are tried
PEER = "transformers GPT-2, AdamW"


class GPT2:
    """The peer's own step: forward, cross entropy, backward, clip, fused AdamW."""

    def __init__(self, size: str, vocab: int, kind: str, rate: float = 1e-3, steps: int = 1) -> None:
        layers, width, heads = LADDER[size]
        self.module = causal("gpt2", vocab=vocab, context=CONTEXT, n_embd=width, n_layer=layers, n_head=heads)
        precision.use(self.module, kind)
        self.optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True
        )
        warm = max(1, steps // 50)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda s: min((s + 1) / warm, 0.55 + 0.45 * math.cos(math.pi * s / max(1, steps))),
        )

    def step(self, ids: torch.Tensor) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.module.nats(ids).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())


def row(what: str, unit: str, tamis: float, peer: float, ratio: float, **more: Any) -> dict[str, Any]:
    found = {"what": what, "unit": unit, "tamis": tamis, "peer_name": PEER, "peer": peer, "ratio": ratio} | more
    print(found, file=sys.stderr)
    return found


def timed(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def speed(size: str, chosen: str | None, quick: bool) -> dict[str, Any]:
    vocab = VOCABULARY if size in ("0.2M", "0.8M") else 4096
    config = ladder(size, vocab, CONTEXT)
    kind = chosen or precision.measure(config.width).chosen
    tokens = np.random.default_rng(0).integers(0, vocab, 40 * BATCH * CONTEXT)
    feed = ArrayFeed(tokens, CONTEXT, BATCH)
    loop = Loop(Decoder(config), feed, Settings(steps=100, batch=BATCH, precision=kind))
    peer = GPT2(size, vocab, kind)
    ids = torch.from_numpy(feed(0, 0))
    loop.step()
    peer.step(ids)
    ours, theirs = [], []
    for _ in range(1 if quick else STEPS[size]):
        ours.append(timed(loop.step))
        theirs.append(timed(lambda: peer.step(ids)))
    a, b = BATCH * CONTEXT / min(ours), BATCH * CONTEXT / min(theirs)
    share = config.flops_per_token * a / precision.peak(kind)
    return row(f"training {size}, {kind}", "token/s", a, b, a / b, share_of_peak=round(share, 3))


def learning(data: Path, chosen: str | None, steps: int) -> dict[str, Any]:
    texts = pq.read_table(data / "text" / "english.parquet", columns=["text"]).column("text").to_pylist()
    flat = bytes_of(texts[:1200])
    train, held = flat[:6_000_000], flat[6_000_000 : 6_000_000 + 65 * CONTEXT]
    if len(held) < 65 * CONTEXT:
        raise SystemExit("text/english.parquet holds too little text")
    kind = chosen or precision.measure(64).chosen
    feed = ArrayFeed(train, CONTEXT, BATCH)
    rows = torch.from_numpy(np.stack([ArrayFeed(held, CONTEXT, 1)(0, i)[0] for i in range(64)]))

    def bits(module: Any) -> float:
        module.eval()
        with torch.no_grad():
            return float(module.nats(rows).mean()) / math.log(2)

    mine = Decoder(ladder("0.2M", VOCABULARY, CONTEXT))
    cost = timed(lambda: fit(mine, feed, Settings(steps=steps, batch=BATCH, precision=kind)))
    found = []
    for rate in RATES:
        peer = GPT2("0.2M", VOCABULARY, kind, rate, steps)

        def run(peer: GPT2 = peer) -> None:
            for step in range(steps):
                peer.step(torch.from_numpy(feed(*divmod(step, feed.steps))))

        seconds = timed(run)
        found.append((bits(peer.module), rate, seconds))
    best, rate, seconds = min(found)
    ours = bits(mine)
    return row(
        f"held-out text after {steps * BATCH * CONTEXT:,} bytes, 0.2M", "bit/byte", ours, best, best / ours,
        difference=round(ours - best, 3), cpu_seconds=round(cost, 1), peer_cpu_seconds=round(seconds, 1),
        peer_learning_rate=rate,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="0.2M alone, few steps: shows that all works")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sizes", default=",".join(STEPS))
    parser.add_argument("--precision", choices=precision.CHOICES)
    options = parser.parse_args()
    if "TAMIS_DATA" not in os.environ:
        parser.error("TAMIS_DATA is not set: it names the folder of real test data")
    torch.set_num_threads(1)
    print(f"load {os.getloadavg()[0]:.1f}; a run at a load above 1 is no result", file=sys.stderr)
    sizes = ["0.2M"] if options.quick else options.sizes.split(",")
    rows = [speed(size, options.precision, options.quick) for size in sizes]
    rows.append(learning(Path(os.environ["TAMIS_DATA"]), options.precision, 20 if options.quick else 150))
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'what':44} {'unit':9} {'tamis':>9} {'peer':>9} {'ratio':>7}")
    for one in rows:
        print(f"{one['what']:44} {one['unit']:9} {one['tamis']:9.4g} {one['peer']:9.4g} {one['ratio']:7.2f}")


if __name__ == "__main__":
    main()
