"""crowd-kit and krippendorff on tables of labels: run by `people.py` in their own environment.

Reads one JSON job a line from standard input, {what, path, repeats}; prints one JSON line each: {seconds (the median),
accuracy or value} or {error}. Reading the file and imports are not timed.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def method(what: str) -> Callable[[pd.DataFrame], Any]:
    from crowdkit import aggregation as ck

    if what == "dawid-skene, 100 steps each":
        return ck.DawidSkene(n_iter=100, tol=-float("inf")).fit_predict
    makers = {
        "majority": ck.MajorityVote,
        "one-coin": ck.OneCoinDawidSkene,
        "dawid-skene": ck.DawidSkene,
        "glad": ck.GLAD,
        "mace-vb": lambda: ck.MACE(n_restarts=10, n_iter=50, method="vb"),
        "mace-em": lambda: ck.MACE(n_restarts=10, n_iter=50, method="em"),
        "bradley-terry": lambda: ck.BradleyTerry(n_iter=100),
    }
    return makers[what]().fit_predict


def alpha(path: str) -> Callable[[], float]:
    """Of a table of units by raters, as this package wants it."""
    import krippendorff

    frame = pd.read_csv(path)
    wide = frame.pivot_table(index="worker", columns="item", values="label").to_numpy()
    return lambda: float(krippendorff.alpha(wide, level_of_measurement="nominal"))


def run(job: dict[str, Any]) -> dict[str, Any]:
    if job["what"] == "alpha":
        work = alpha(job["path"])
    else:
        frame = pd.read_csv(job["path"]).rename(columns={"item": "task"})
        work = lambda: method(job["what"])(frame)  # noqa: E731
    seconds = []
    result: Any = None
    for _ in range(job["repeats"]):
        before = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - before)
        if seconds[-1] > 10:
            break
    body: dict[str, Any] = {"seconds": statistics.median(seconds)}
    if job["what"] == "alpha":
        body["value"] = result
    elif job.get("truth"):
        truth = pd.read_csv(job["truth"]).set_index("item")["truth"]
        body["accuracy"] = float(np.mean([result.get(item) == answer for item, answer in truth.items()]))
    elif job["what"] == "bradley-terry":
        body["value"] = float(np.log(result.max() / result.min()))
    return body


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            found = run(json.loads(line))
        except Exception as error:  # whatever a peer fails with is its result
            found = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(found), flush=True)
