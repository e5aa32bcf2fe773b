"""Aggregation and agreement beside crowd-kit and krippendorff, method by method, on the same labels.

    TAMIS_DATA=FOLDER python benchmarks/people.py [--quick] [--json] [--peers FOLDER] [--limit SECONDS]

Rows {what, unit, tamis, peer_name, peer, ratio}; ratio > 1 says that Tamis is faster. Both sides get labels in memory
(ours `Labels`, theirs a data frame), are warm, and hand back one label an example; the median of three runs counts.
Iterative methods run to each side's own default rule: ours stop at a relative rise of 1e-9 of the log-likelihood, the
peer's at an absolute one of 1e-5 or after 100 steps, so ours go further. The row `100 steps each` takes the rules away.
MACE: 10 starts of 50 steps on either side. Accuracies of both stand in the rows, and ties are shared in ours only.
A peer that is not done after --limit seconds is ended, and its row says so. One core.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from peers import environment  # noqa: E402
from tamis.people.aggregation import aggregate  # noqa: E402
from tamis.people.labels import Labels, read_truth  # noqa: E402
from tamis.people.preference import Comparisons, bradley_terry  # noqa: E402

METHODS = ("majority", "one-coin", "dawid-skene", "dawid-skene, 100 steps each", "glad", "mace-vb", "mace-em")
SETS = {True: ("bluebird", "rte"), False: ("bluebird", "rte", "web", "trec", "product")}


class Peer:
    """A process in the peer's environment that answers one job after another."""

    def __init__(self, python: Path, limit: float) -> None:
        self.command, self.limit = [str(python), str(HERE / "peers" / "crowdkit_people.py")], limit
        self.process: subprocess.Popen[str] | None = None

    def ask(self, **job: Any) -> dict[str, Any]:
        if self.process is None:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], self.limit)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.process.kill()
            self.process.wait()
            self.process = None
            return {"error": f"not done after {self.limit:g} s" if not ready else "died"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait()


def timed(work: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    seconds = []
    result = work()  # warm
    for _ in range(repeats):
        before = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - before)
    return statistics.median(seconds), result


def row(what: str, tamis: float, answer: dict[str, Any] | None, name: str = "crowd-kit", **more: Any) -> dict[str, Any]:
    peer = (answer or {}).get("seconds")
    found = {"what": what, "unit": "s", "tamis": tamis, "peer_name": name if answer is not None else None, "peer": peer}
    found["ratio"] = peer / tamis if peer else None
    if answer and "error" in answer:
        found["note"] = answer["error"]
    return found | more


def methods(data: Path, peer: Peer, quick: bool) -> list[dict[str, Any]]:
    rows = []
    for name in SETS[quick]:
        labels, truth = Labels.read(data / name / "label.csv"), read_truth(data / name / "truth.csv")
        for method in METHODS:
            forced = {"iterations": 100, "tolerance": -1.0} if "100 steps" in method else {}

            def work(labels: Labels = labels, method: str = method, forced: dict[str, Any] = forced) -> Any:
                found = aggregate(labels, method.split(",")[0], **forced)
                return found, found.label

            seconds, (found, _) = timed(work)
            job = {"path": str(data / name / "label.csv"), "truth": str(data / name / "truth.csv"), "repeats": 3}
            answer = peer.ask(what=method, **job)
            more = {"accuracy": round(found.expected_accuracy(truth).value, 4), "steps": found.iterations}
            rows.append(row(f"{name}: {method}", seconds, answer, **more, peer_accuracy=answer.get("accuracy")))
            print(rows[-1], file=sys.stderr)
    return rows


def preferences(data: Path, peer: Peer, folder: Path) -> list[dict[str, Any]]:
    choice = {1: "first", 2: "second"}
    decided = []
    for one in json.loads((data / "preference" / "pandalm_testset_v1.json").read_text()):
        first, second = one["cmp_key"].split("_")
        decided += [(first, second, one[f"annotator{who}"]) for who in (1, 2, 3) if one[f"annotator{who}"]]
    comparisons = Comparisons.of(*zip(*[(a, b, choice[c]) for a, b, c in decided], strict=True))
    path = folder / "pairs.csv"
    lines = [f"{n},{a},{b},{a if c == 1 else b}" for n, (a, b, c) in enumerate(decided)]
    path.write_text("worker,left,right,label\n" + "\n".join(lines) + "\n")
    seconds, found = timed(lambda: bradley_terry(comparisons, prior=0))
    answer = peer.ask(what="bradley-terry", path=str(path), repeats=3)
    spread = float(found.strength.max() - found.strength.min())
    return [
        row("PandaLM: bradley-terry, with intervals", seconds, answer, value=spread, peer_value=answer.get("value"))
    ]


def large(peer: Peer, folder: Path, labels: int, with_peer: bool) -> list[dict[str, Any]]:
    """`labels` labels: five an example, 2,000 raters of 4 classes at accuracies from .5 to .95."""
    random = np.random.default_rng(17)
    items, raters, classes = labels // 5, 2000, 4
    truth = random.integers(0, classes, items)
    item = np.repeat(np.arange(items), 5)
    rater = (random.integers(0, raters, items)[:, None] + np.arange(5) * 397).ravel() % raters
    skill = random.uniform(0.5, 0.95, raters)
    wrong = (truth[item] + random.integers(1, classes, labels)) % classes
    label = np.where(random.random(labels) < skill[rater], truth[item], wrong)
    path = folder / "large.csv"
    with path.open("w") as file:
        file.write("item,worker,label\n")
        file.writelines(f"{i},{w},{c}\n" for i, w, c in zip(item, rater, label, strict=True))
    seconds, table = timed(lambda: Labels.read(path), 1)
    rows = [row(f"read {labels:,} labels from CSV", seconds, None)]
    seconds, found = timed(lambda: aggregate(table, "dawid-skene"), 1)
    right = found.expected_accuracy({str(number): str(answer) for number, answer in enumerate(truth.tolist())}).value
    answer = peer.ask(what="dawid-skene", path=str(path), repeats=1) if with_peer else None
    more = {"accuracy": round(right, 4), "steps": found.iterations}
    return [*rows, row(f"{labels:,} labels: dawid-skene", seconds, answer, **more)]


def agreement(data: Path, peer: Peer, folder: Path) -> list[dict[str, Any]]:
    """Alpha of 50,000 ratings: 10,000 units, 5 of 50 raters each."""
    try:
        from tamis.people.agreement import alpha
    except ImportError:
        return []
    random = np.random.default_rng(3)
    unit = np.repeat(np.arange(10_000), 5)
    rater = (random.integers(0, 50, 10_000)[:, None] + np.arange(5) * 7).ravel() % 50
    value = np.where(
        random.random(50_000) < 0.7, np.repeat(random.integers(0, 5, 10_000), 5), random.integers(0, 5, 50_000)
    )
    path = folder / "ratings.csv"
    lines = [f"{u},{r},{v}" for u, r, v in zip(unit, rater, value, strict=True)]
    path.write_text("item,worker,label\n" + "\n".join(lines) + "\n")
    labels = Labels.read(path)
    try:
        seconds, found = timed(lambda: alpha(labels, "nominal", resamples=0))
    except TypeError:
        seconds, found = timed(lambda: alpha(labels, "nominal"))
    answer = peer.ask(what="alpha", path=str(path), repeats=3)
    more = {"value": getattr(found, "value", None), "peer_value": answer.get("value")}
    return [row("50,000 ratings: nominal alpha", seconds, answer, "krippendorff", **more)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two sets and 100,000 labels: shows that all works")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="folder of the peers' environments")
    parser.add_argument("--limit", type=float, default=300, help="seconds that a peer may take for one method")
    options = parser.parse_args()
    if "TAMIS_DATA" not in os.environ:
        parser.error("TAMIS_DATA is not set: it names the folder of real test data")
    data = Path(os.environ["TAMIS_DATA"])
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # both sides on one core
    peer = Peer(environment.crowd_kit(options.peers), options.limit)
    print(f"load {os.getloadavg()[0]:.1f}; a run at a load above 1 is no result", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = methods(data / "crowd", peer, options.quick)
        rows += preferences(data, peer, folder)
        rows += agreement(data, peer, folder)
        rows += large(peer, folder, 100_000 if options.quick else 1_000_000, True)
    peer.close()
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'what':44} {'tamis, s':>9} {'peer, s':>9} {'ratio':>7}  accuracy (peer)")
    for one in rows:
        peer_s, ratio = (f"{one[k]:.3f}" if one[k] is not None else "-" for k in ("peer", "ratio"))
        ours, theirs = one.get("accuracy", one.get("value")), one.get("peer_accuracy", one.get("peer_value"))
        said = "" if ours is None else f"{ours:.4f}" + ("" if theirs is None else f" ({theirs:.4f})")
        print(f"{one['what']:44} {one['tamis']:9.4f} {peer_s:>9} {ratio:>7}  {said} {one.get('note', '')}")


if __name__ == "__main__":
    main()
