"""MACE (Hovy, Berg-Kirkpatrick, Vaswani, Hovy 2013): a rater knows the answer, or guesses by a strategy of their own.

    T_i ~ Uniform(K)                        the true class of item i
    S_iw ~ Bernoulli(guess_w)               does rater w guess here?   know_w = 1 - guess_w is the competence
    S = 0: A_iw = T_i      S = 1: A_iw ~ strategy_w

    P(A_iw = l | T_i = k) = guess_w strategy_w[l] + know_w 1[l = k]

E step: q_i and, per label, the chance that the rater knew, q_i[l] know / (guess strategy[l] + know). M step: `em` adds
0.01 / K to the expected counts and normalises; `vb` puts exp(digamma(count + prior) - digamma(sum)) in the place of
shares, as the authors' program does, with Beta(know .5, guess .5) and Dirichlet(10) on strategies, which the paper's
text does not mention. 10 random starts of 1 + U/2 each and 50 steps; the start with the highest log-marginal stays.
With `vb` parameters do not sum to one, so that value is no bound and may fall.

The product over raters is taken in log space, so 300 raters on one item are as good as three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import digamma

from tamis.people.aggregation.counts import Counts, Floats, Hashes, mix
from tamis.people.aggregation.result import Fit, Status, skills

# Starts depend on the content alone. After 50 steps the best of ten is not the same to the last digit from seed to seed
# (RTE: -3923.86 to -3923.96); this one comes close to the figures that the authors' program prints.
_SEED = 60
_CELLS = 10_000_000  # items x classes x starts that are worked on at once: about 250 MB


Maximise = Callable[[Floats, Floats, Floats], "_State"]


@dataclass
class _State:
    """Of S starts at once: know, guess (W, S), strategy (P, S)."""

    know: Floats
    guess: Floats
    strategy: Floats


def mace_em(
    counts: Counts, *, restarts: int = 10, iterations: int = 50, smoothing: float = 0.01, noise: float = 0.5
) -> Fit:
    """Maximum likelihood with smoothing / K added to all fractional counts: EM of a penalised log-likelihood."""
    delta = smoothing / counts.classes
    unused = (counts.classes - np.bincount(counts.pair_rater, minlength=counts.raters))[:, None]

    def maximise(knew: Floats, guessed: Floats, pairs: Floats) -> _State:
        know, guess = knew + delta, guessed + delta
        strategy = (pairs + delta) / (guessed + counts.classes * delta)[counts.pair_rater]
        return _State(know / (know + guess), guess / (know + guess), strategy)

    def penalty(state: _State, guessed: Floats) -> Floats:
        unseen = unused * np.log(delta / (guessed + counts.classes * delta))  # strategies for labels never given
        logs = [np.log(state.know), np.log(state.guess), np.log(state.strategy), unseen]
        total: Floats = delta * sum(values.sum(axis=0) for values in logs)
        return total

    return _best(counts, maximise, "penalised log-likelihood", penalty, restarts, iterations, noise)


def mace_vb(
    counts: Counts,
    *,
    restarts: int = 10,
    iterations: int = 50,
    prior_know: float = 0.5,
    prior_guess: float = 0.5,
    prior_strategy: float = 10.0,
    noise: float = 0.5,
) -> Fit:
    """Variational Bayes as the authors run it. `prior_know` and `prior_guess` are the Beta's two counts by name: the
    paper's alpha belongs to guessing, its beta to knowing."""

    def maximise(knew: Floats, guessed: Floats, pairs: Floats) -> _State:
        both = digamma(knew + guessed + prior_know + prior_guess)
        total = digamma(guessed + counts.classes * prior_strategy)[counts.pair_rater]
        return _State(
            np.exp(digamma(knew + prior_know) - both),
            np.exp(digamma(guessed + prior_guess) - both),
            np.exp(digamma(pairs + prior_strategy) - total),
        )

    objective = "log-marginal of sub-normalised parameters (no bound)"
    return _best(counts, maximise, objective, None, restarts, iterations, noise)


def _best(
    counts: Counts,
    maximise: Maximise,
    objective: str,
    penalty: Callable[[_State, Floats], Floats] | None,
    restarts: int,
    iterations: int,
    noise: float,
) -> Fit:
    """All starts, as many at once as memory allows; the one with the highest log-marginal."""
    starts = [_start(counts, number, noise) for number in range(restarts)]
    at_once = max(1, min(restarts, _CELLS // counts.votes.size))
    best: Fit | None = None
    for first in range(0, restarts, at_once):
        some = starts[first : first + at_once]
        state = _State(*(np.stack([getattr(s, name) for s in some], axis=-1) for name in _State.__annotations__))
        fit = _run(counts, state, maximise, penalty, iterations)
        if best is None or (fit.log_likelihood or 0) > (best.log_likelihood or 0):
            best = fit
    assert best is not None
    best.objective = objective
    best.notes = {"restarts": restarts}
    return best


def _start(counts: Counts, number: int, noise: float) -> _State:
    """All shares are 1 + noise * U before they are normalised. U comes from hashes of content, so that a start does not
    depend on names, not even between raters who are mirror images of each other."""

    def uniform(what: int, *keys: Hashes) -> Floats:
        total: Hashes = np.uint64((_SEED + number) * 1_000_003 + what) + keys[0]
        for key in keys[1:]:
            total = total + key
        return (mix(total) >> np.uint64(11)).astype(np.float64) / 2**53

    know, guess = (1 + noise * uniform(what, mix(counts.rater_key)) for what in (1, 2))
    strategy = 1 + noise * uniform(3, mix(counts.rater_key)[:, None], counts.class_key[None, :])
    strategy /= strategy.sum(axis=1, keepdims=True)
    return _State(know / (know + guess), guess / (know + guess), strategy[counts.pair_rater, counts.pair_label])


def _run(
    counts: Counts,
    state: _State,
    maximise: Maximise,
    penalty: Callable[[_State, Floats], Floats] | None,
    iterations: int,
) -> Fit:
    """`iterations` steps of all S starts; what the best of them came to."""
    shared = counts.shared
    given = counts.teaching_cells.sum(axis=1)  # (P,)
    traces: list[Floats] = []
    posterior, evidence = _expect(counts, state)
    knew = guessed = np.zeros_like(state.know)
    for _ in range(iterations):
        cover = counts.teaching_cells @ posterior.reshape(
            counts.votes.size, -1
        )  # (P, S) posterior of the pair's own label
        know = state.know[counts.pair_rater]
        knew = cover * know / (state.guess[counts.pair_rater] * state.strategy + know)
        pairs = np.maximum(given[:, None] - knew, 0)
        guessed = counts.of_rater @ pairs
        knew = counts.of_rater @ knew
        state = maximise(knew, guessed, pairs)
        posterior, evidence = _expect(counts, state)
        value = evidence[shared].sum(axis=0)
        traces.append(value + penalty(state, guessed) if penalty else value)
    likelihood = evidence[shared].sum(axis=0)
    best = int(likelihood.argmax())
    trace = [float(values[best]) for values in traces]
    fit = Fit(np.ascontiguousarray(posterior[:, :, best]), float(likelihood[best]), "", trace, Status.FIXED_LENGTH)
    rise = trace[-1] - trace[-2] if len(trace) > 1 else float("nan")
    fit.why = f"{iterations} steps, as the authors run it; the last one changed the objective by {rise:.2g}"
    know, guess, strategy = state.know[:, best], state.guess[:, best], state.strategy[:, best]
    counted = knew[:, best], guessed[:, best]
    _, low, high = skills(counted[0], counted[0] + counted[1])
    fit.rater = {"competence": know / (know + guess), "competence_low": low, "competence_high": high}
    fit.confusion = np.repeat((guess[counts.pair_rater] * strategy)[:, None], counts.classes, axis=1)
    fit.confusion[np.arange(len(strategy)), counts.pair_label] += know[counts.pair_rater]
    return fit


def _expect(counts: Counts, state: _State) -> tuple[Floats, Floats]:
    """Posterior (I, K, S) and log-marginal (I, S). Each label gives its item log(guess strategy) whatever the class,
    and log(1 + know / (guess strategy)) more for the class that it names."""
    base = state.guess[counts.pair_rater] * state.strategy
    bonus = np.log1p(state.know[counts.pair_rater] / base)
    log_joint = (counts.by_cell @ bonus).reshape(counts.items, counts.classes, -1)
    log_joint += (counts.by_item @ np.log(base) - np.log(counts.classes))[:, None]
    return counts.normalise(log_joint)
