"""What to train: parameters, tokens and epochs for a budget, from a fitted law, with its intervals.

Compute is 6 N D FLOP for training and 2 N a token served. Every figure is worked out for the law and for each of its
bootstrap draws: the interval holds 95% of them. It covers the scatter of the runs, not an error of the law's form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import SaidNo, WrongUse
from tamis.proof.repeats import PUBLISHED, Repeats, effective, params_for_tokens, worth
from tamis.proof.runs import FLOP_PER_PARAMETER_TOKEN
from tamis.proof.scaling import Interval, LossFit, law, optimum, spread

Floats = npt.NDArray[np.float64]

SERVING = 2  # FLOP a parameter and token of a forward pass
SIZES = (1e3, 1e16)  # parameters among which the best is sought
MANY_EPOCHS = 16  # beyond it the law of repeats was hardly seen (Muennighoff et al. 2023, section 6)


class WrongBudget(ValueError, WrongUse):
    """The budget's parts contradict each other, or too few or too many were given."""


class Unreachable(ValueError, SaidNo):
    """No model reaches the loss, or the budget is eaten by serving."""


@dataclass(frozen=True)
class Plan:
    """What to train. Intervals are 95%; low and high are NaN where the fit has no draws."""

    params: Interval
    tokens: Interval
    epochs: Interval  # 1 where all tokens are distinct
    loss: Interval  # nats per token
    flops: Interval  # training
    serving: Interval  # FLOP of serving, 0 where none was asked for
    tokens_per_parameter: Interval  # of the draws that get there
    extrapolates: float  # how many times beyond the fitted runs
    notes: tuple[str, ...]
    sentence: str

    def to_json(self) -> dict[str, Any]:
        names = ("params", "tokens", "epochs", "loss", "flops", "serving", "tokens_per_parameter")
        body: dict[str, Any] = {name: getattr(self, name).to_json() for name in names}
        return body | {"extrapolates": self.extrapolates, "notes": list(self.notes), "sentence": self.sentence}


def plan(
    fit: LossFit,
    *,
    flops: float | None = None,
    tokens: float | None = None,
    loss: float | None = None,
    requests: float | None = None,
    unique: float | None = None,
    repeats: Repeats = PUBLISHED,
    level: float = 0.95,
) -> Plan:
    """The plan for one of `flops` (lowest loss), `tokens` (the model they are optimal for), `loss` (least compute).
    With `requests`, the tokens to be served over the model's life, serving is part of the compute (Sardana et
    al. 2024); with `unique`, the distinct tokens there are, repeats are worth less (Muennighoff et al. 2023).

    Raises Unreliable (the fit), WrongBudget, Unreachable."""
    fit.require()
    _check(flops, tokens, loss, requests, unique)
    values = fit.samples
    served = requests or 0.0
    notes: list[str] = []
    if loss is not None and unique is None and not served:
        params, needed = _cheapest(values, loss)
    elif loss is not None:
        params, needed = _search(values, lambda v, n: _cost(v, n, loss, served, unique, repeats))
    elif tokens is not None:
        params, needed = params_for_tokens(values, tokens), np.full(len(values), tokens)
    elif unique is None and not served:
        params, needed = optimum(values, float(flops or 0))
    else:
        params, needed = _search(values, lambda v, n: _reached(v, n, float(flops or 0), served, unique, repeats))
    if not np.isfinite(needed[0] * params[0]):
        raise Unreachable(_unreachable(fit, flops, loss, unique, served))
    never = ~np.isfinite(needed * params)
    params, needed = np.where(never, np.inf, params), np.where(never, np.inf, needed)
    if lost := float(never.mean()):
        notes.append(f"{lost:.0%} of the law's draws never get there: the intervals are open above")
    epochs = np.maximum(needed / unique, 1.0) if unique is not None else np.ones(len(values))
    if loss is not None:
        reached = np.full(len(values), loss)
    elif unique is None:
        reached = law(values, params, needed)
    else:
        reached = law(values, *effective(values, params, needed, unique, repeats.data.value, repeats.params.value))
    train = FLOP_PER_PARAMETER_TOKEN * params * needed
    if epochs[0] > 1:
        notes.append(repeats.why)
    if epochs[0] > MANY_EPOCHS:
        notes.append(f"{epochs[0]:.0f} epochs: the value of so many repeats rests on few published runs")
    beyond = fit.extrapolates(params=float(params[0]), tokens=float(needed[0]), flops=float(train[0]))
    if beyond > 1:
        notes.append(
            f"extrapolates: {beyond:.3g} times beyond the fitted runs; no interval covers an error of the law's form"
        )
    notes += _ratio_note(fit, float(needed[0] / params[0]))
    if fit.draws is None:
        notes.append(
            "no intervals: the fit holds no bootstrap draws (`tamis scale fit --bootstrap 4000 --out FIT.json`)"
        )
    serving = SERVING * params * served if served else np.zeros(len(values))
    ratio = np.divide(needed, params, out=np.full(len(values), np.nan), where=~never)
    figures = [_interval(x, level) for x in (params, needed, epochs, reached, train, serving, ratio[~never])]
    sentence = _sentence(figures, served, unique)
    return Plan(
        params=figures[0],
        tokens=figures[1],
        epochs=figures[2],
        loss=figures[3],
        flops=figures[4],
        serving=figures[5],
        tokens_per_parameter=figures[6],
        extrapolates=beyond,
        notes=tuple(notes),
        sentence=sentence,
    )


def _check(
    flops: float | None, tokens: float | None, loss: float | None, requests: float | None, unique: float | None
) -> None:
    given = [name for name, value in (("--flops", flops), ("--tokens", tokens), ("--loss", loss)) if value is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        hint = "; --requests says how much is served, not how good the model must be" if requests and not given else ""
        raise WrongBudget(f"give one of --flops, --tokens and --loss; {found} was given{hint}")
    for name, value in (
        ("--flops", flops),
        ("--tokens", tokens),
        ("--loss", loss),
        ("--requests", requests),
        ("--unique", unique),
    ):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise WrongBudget(f"{name} must be a positive number, not {value}")
    if tokens is not None and (requests or unique):
        raise WrongBudget("--requests and --unique need a budget of compute or a loss: give --flops or --loss")


def _cheapest(values: Floats, loss: float) -> tuple[Floats, Floats]:
    """Least 6 N D at which E + A/N^alpha + B/D^beta = loss: there alpha A/N^alpha = beta B/D^beta = x, so
    x = (loss - E) alpha beta / (alpha + beta). Infinite where loss <= E."""
    A, B, E, alpha, beta = values.T
    x = (loss - E) * alpha * beta / (alpha + beta)
    with np.errstate(divide="ignore", invalid="ignore"):
        params = np.where(x > 0, (alpha * A / np.maximum(x, 0)) ** (1 / alpha), np.inf)
        tokens = np.where(x > 0, (beta * B / np.maximum(x, 0)) ** (1 / beta), np.inf)
    return params, tokens


def _cost(
    values: Floats, params: Floats, loss: float, served: float, unique: float | None, repeats: Repeats
) -> tuple[Floats, Floats]:
    """(compute, tokens) at which models of `params` (K, G) reach the loss; infinite where they never do."""
    A, B, E, alpha, beta = values.T[:, :, None]
    useful = params
    if unique is not None:
        # A model is only larger than its tokens can use if all distinct tokens are in use.
        most = np.minimum(params, params_for_tokens(values, unique)[:, None])
        useful = worth(most, params / most - 1, repeats.params.value)
    left = loss - E - A * useful**-alpha
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        tokens = np.where(left > 0, (B / np.maximum(left, 1e-300)) ** (1 / beta), np.inf)
        if unique is not None:
            r = repeats.data.value
            share = (tokens / unique - 1) / r  # of the most that repeats can be worth
            passes = np.where(share < 1, -r * np.log1p(-np.minimum(share, 1 - 1e-12)), np.inf)
            tokens = np.where(tokens > unique, unique * (1 + passes), tokens)
        return params * (FLOP_PER_PARAMETER_TOKEN * tokens + SERVING * served), tokens


def _reached(
    values: Floats, params: Floats, flops: float, served: float, unique: float | None, repeats: Repeats
) -> tuple[Floats, Floats]:
    """(loss, tokens) of models of `params` (K, G) that spend all of the compute."""
    tokens = (flops - SERVING * params * served) / (FLOP_PER_PARAMETER_TOKEN * params)
    possible = tokens >= 1
    tokens = np.where(possible, tokens, 1.0)
    wide = values[:, None, :]
    shape = (params, tokens)
    if unique is not None:
        shape = effective(wide, params, tokens, unique, repeats.data.value, repeats.params.value)
    return np.where(possible, law(wide, *shape), np.inf), np.where(possible, tokens, np.inf)


def _search(
    values: Floats, measure: Callable[[Floats, Floats], tuple[Floats, Floats]], points: int = 61, rounds: int = 7
) -> tuple[Floats, Floats]:
    """The size of least measure for each draw (K,) and its tokens: a grid in ln N that closes in. All measures here
    have one minimum in ln N."""
    low, high = np.log(SIZES[0]), np.log(SIZES[1])
    best = np.full(len(values), (low + high) / 2)
    half = (high - low) / 2
    tokens = np.full(len(values), np.inf)
    for _ in range(rounds):
        sizes = best[:, None] + np.linspace(-half, half, points)
        size, needed = measure(values, np.exp(sizes))
        at = size.argmin(axis=1)[:, None]
        best = np.take_along_axis(sizes, at, axis=1)[:, 0]
        tokens = np.take_along_axis(needed, at, axis=1)[:, 0]
        half *= 3 / points
    return np.exp(best), tokens


def _unreachable(fit: LossFit, flops: float | None, loss: float | None, unique: float | None, served: float) -> str:
    if flops is not None:
        return f"{flops:.3g} FLOP do not suffice to serve {served:.3g} tokens, let alone to train"
    if loss is not None and loss <= fit.E:
        return f"a loss of {loss:g} is below the law's floor E = {fit.E:.4g}: no model on such data reaches it"
    return f"a loss of {loss:g} is out of reach with {unique or 0:.3g} distinct tokens, however often they are repeated"


def _ratio_note(fit: LossFit, ratio: float) -> list[str]:
    """Sardana et al. 2024: a law fitted near 20 tokens a parameter promises too much of far more tokens."""
    if "tokens_per_parameter" not in fit.fitted:
        return []
    most = fit.fitted["tokens_per_parameter"][1]
    if ratio <= most:
        return []
    return [f"{ratio:.3g} tokens a parameter, where the runs have at most {most:.3g}: such laws promise too much there"]


def _interval(values: Floats, level: float) -> Interval:
    if len(values) < 2:
        return Interval(float(values[0]), float("nan"), float("nan"), level)
    with np.errstate(invalid="ignore"):
        low, high = spread(np.minimum(values[1:], 1e300), level)  # infinite draws still have an order
    return Interval(float(values[0]), low, high if high < 1e299 else np.inf, level, "bootstrap over runs")


def amount(value: float) -> str:
    """A size for people: 69.2 B, 1.42 T; FLOP and the very large in powers of ten."""
    for size, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if size <= abs(value) < 1e15:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def between(interval: Interval, write: Callable[[float], str] = amount) -> str:
    """`value [low, high]`, or the value alone."""
    if np.isnan(interval.low) or interval.low == interval.high:
        return write(interval.value)
    return f"{write(interval.value)} [{write(interval.low)}, {write(interval.high)}]"


def _sentence(figures: list[Interval], served: float, unique: float | None) -> str:
    params, tokens, epochs, loss, train, serving, ratio = figures
    said = f"Train {between(params)} parameters on {between(tokens)} tokens"
    if unique is not None:
        said += f", {epochs.value:.3g} epochs of {amount(unique)}" if epochs.value > 1 else ", all of them distinct"
    said += f": {ratio.value:.3g} tokens a parameter, {train.value:.3g} FLOP"
    if served:
        said += f" and {serving.value:.3g} to serve {amount(served)} tokens"
    return f"{said}, for a loss of {between(loss, lambda x: f'{x:.3f}')} nats a token."
