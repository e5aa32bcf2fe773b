"""The sparse counts on which every method works, in an order that the content decides.

Examples, raters and classes are put in an order that follows from who labelled what like whom, never from names or
rows. So all sums run in the same order, a random start is the same start, and a tie falls the same way whatever things
are called: results are equal to the last bit under any renaming. (Two raters whose labels are mirror images of each
other keep the order of their names; swapping them changes nothing.)
Memory: about 60 bytes a label, and one row of `K` numbers an example and a (rater, label) pair in a method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tamis.people.labels import Labels, NotLabels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Hashes = NDArray[np.uint64]

_BLOCK = 32_768  # numbers that are normalised at once, so that they stay in the cache
_ROUNDS = 3  # of refinement: 1 tells raters apart by whom they judged, 2 by how others judged the same, 3 to be sure


@dataclass(frozen=True)
class Counts:
    """M distinct (item, rater, label) triples, sorted so, of I items, W raters, K classes; P distinct (rater, label).

    item, rater, label (M,) codes; weight (M,) how often; known (I,) the answer of a control item, or -1.
    item_order, rater_order, class_order: the code in `Labels` of each code here. rater_key (W,), class_key (K,): hashes
    of content; raters whose labels are mirror images of each other have the same.
    """

    item: Ints
    rater: Ints
    label: Ints
    weight: Floats
    known: Ints
    raters: int
    classes: int
    item_order: Ints
    rater_order: Ints
    class_order: Ints
    rater_key: Hashes
    class_key: Hashes

    @classmethod
    def of(cls, labels: Labels, controls: Mapping[str, str] | None = None, canonical: bool = True) -> Counts:
        """Raises NotLabels where a control's answer is no class of the labels. Without `canonical` the order of names
        stays, which is enough for closed forms."""
        known = _known(labels, controls or {})
        item, rater, label, weight = _distinct(labels)
        lengths = (len(labels.examples), len(labels.raters), len(labels.classes))
        if canonical:
            keys = _colours((item, rater, label), weight, known, lengths)
        else:
            keys = [np.arange(length, dtype=np.uint64) for length in lengths]
        item_order, rater_order = (np.argsort(key, kind="stable") for key in keys[:2])
        # Classes in falling frequency, so that what a method leaves open goes to the more frequent class.
        often = np.bincount(label, weights=weight, minlength=len(labels.classes))
        class_order = np.lexsort((keys[2], -often))
        item, rater, label = (
            _inverse(order)[codes] for order, codes in ((item_order, item), (rater_order, rater), (class_order, label))
        )
        order = np.argsort((item * lengths[1] + rater) * lengths[2] + label, kind="stable")
        known = known[item_order]
        known = np.where(known < 0, -1, _inverse(class_order)[known])
        return cls(
            item[order], rater[order], label[order], weight[order], known,
            lengths[1], lengths[2], item_order, rater_order, class_order,
            keys[1][rater_order], keys[2][class_order],
        )  # fmt: skip

    def part(self, keep: Bools) -> Counts:
        """The triples of which `keep` (M,) is true, with all codes as they are."""
        rows = (self.item[keep], self.rater[keep], self.label[keep], self.weight[keep])
        orders = (self.item_order, self.rater_order, self.class_order)
        return Counts(*rows, self.known, self.raters, self.classes, *orders, self.rater_key, self.class_key)

    def of_items(self, chosen: Bools) -> Counts:
        """Only the items of which `chosen` (I,) is true, with codes of their own; raters and classes as they are."""
        keep = chosen[self.item]
        item = (np.cumsum(chosen) - 1)[self.item[keep]]
        rest = (self.rater[keep], self.label[keep], self.weight[keep], self.known[chosen], self.raters, self.classes)
        orders = (self.item_order[chosen], self.rater_order, self.class_order)
        return Counts(item, *rest, *orders, self.rater_key, self.class_key)

    @property
    def items(self) -> int:
        return len(self.known)

    @cached_property
    def cell(self) -> Ints:
        """(M,) item * K + label: where a triple's own class stands in a raveled (I, K) table."""
        return self.item * self.classes + self.label

    @cached_property
    def votes(self) -> Floats:
        """(I, K) how many labels of each class an item has."""
        return sums(self.cell, self.weight, self.items * self.classes).reshape(self.items, self.classes)

    @cached_property
    def size(self) -> Floats:
        """(I,) labels per item."""
        return sums(self.item, self.weight, self.items)

    @cached_property
    def shared(self) -> Bools:
        """(I,) items that tell something about their raters: two raters or more have seen them, or the answer is
        known. A rater who is alone on an item agrees with nobody there, so nothing is learned from it."""
        first = np.ones(len(self.item), bool)
        first[1:] = (self.item[1:] != self.item[:-1]) | (self.rater[1:] != self.rater[:-1])
        seen_by = np.bincount(self.item[first], minlength=self.items)
        return (seen_by > 1) | ((seen_by > 0) & (self.known >= 0))

    @cached_property
    def _pairs(self) -> tuple[Ints, Ints]:
        code = self.rater * self.classes + self.label
        used = np.zeros(self.raters * self.classes, bool)
        used[code] = True
        codes = np.flatnonzero(used)
        place = np.cumsum(used) - 1
        return codes, place[code]

    @property
    def pair(self) -> Ints:
        """(M,) which (rater, label) pair a triple is of."""
        return self._pairs[1]

    @cached_property
    def pair_rater(self) -> Ints:
        return self._pairs[0] // self.classes

    @cached_property
    def pair_label(self) -> Ints:
        return self._pairs[0] % self.classes

    @cached_property
    def by_item(self) -> Any:
        """(I, P) sparse: how often an item got a label from a rater."""
        shape = (self.items, len(self.pair_rater))
        return sparse.csr_array((self.weight, self.pair.astype(np.int32), _starts(self.item, self.items)), shape=shape)

    @cached_property
    def teaching(self) -> Any:
        """(P, I) sparse: the transpose of `by_item`, without the items that teach nothing about their raters."""
        keep = self.shared[self.item]
        shape = (len(self.pair_rater), self.items)
        # By column: items are read in order and the sums, which are few, stay in the cache.
        return sparse.csc_array(
            (self.weight[keep], self.pair[keep].astype(np.int32), _starts(self.item[keep], self.items)), shape=shape
        )

    @cached_property
    def teaching_cells(self) -> Any:
        """(P, I * K) sparse: as `teaching`, with the label's own class apart."""
        keep = self.shared[self.item]
        shape = (len(self.pair_rater), self.votes.size)
        return sparse.coo_array((self.weight[keep], (self.pair[keep], self.cell[keep])), shape=shape).tocsc()

    def frequency(self, posterior: Floats) -> Floats:
        """(K,) the mean posterior of the items that teach."""
        shared = self.shared.astype(np.float64)
        frequency: Floats = shared @ posterior / shared.sum()
        return frequency

    @cached_property
    def of_rater(self) -> Any:
        """(W, P) sparse ones: sums over a rater's pairs."""
        ones = np.ones(len(self.pair_rater))
        columns = np.arange(len(self.pair_rater))
        return sparse.csr_array((ones, (self.pair_rater, columns)), shape=(self.raters, len(columns)))

    @cached_property
    def of_label(self) -> Any:
        """(K, P) sparse ones: sums over the pairs with a label."""
        ones = np.ones(len(self.pair_label))
        columns = np.arange(len(self.pair_label))
        return sparse.csr_array((ones, (self.pair_label, columns)), shape=(self.classes, len(columns)))

    def shares(self) -> Floats:
        """(I, K) the share of an item's labels: the soft majority vote. Known items are one class for certain; an item
        without labels is open."""
        size = self.size[:, None]
        shares = np.divide(self.votes, size, out=np.full(self.votes.shape, 1 / self.classes), where=size > 0)
        return self.clamp(shares)

    @cached_property
    def by_cell(self) -> Any:
        """(I * K, P) sparse: as `by_item`, with the label's own class apart."""
        rows = sparse.coo_array((self.weight, (self.cell, self.pair)), shape=(self.votes.size, len(self.pair_rater)))
        return rows.tocsr()

    def clamp(self, posterior: Floats) -> Floats:
        """`posterior` (I, K, ...) with the items whose answer is known set to it, in place."""
        rows = np.flatnonzero(self.known >= 0)
        if len(rows):
            posterior[rows] = 0
            posterior[rows, self.known[rows]] = 1
        return posterior

    def normalise(self, log_joint: Floats) -> tuple[Floats, Floats]:
        """(I, K, ...) log p(class, labels) to the posterior of that shape and log p(labels) (I, ...), which for an item
        whose answer is known is the joint with that answer. Overwrites what it is given."""
        rows = np.flatnonzero(self.known >= 0)
        joint = log_joint[rows, self.known[rows]]
        evidence = np.empty(log_joint.shape[:1] + log_joint.shape[2:])
        size = max(1, _BLOCK * self.items // max(log_joint.size, 1))
        for first in range(0, self.items, size):
            block = log_joint[first : first + size]
            classes = [block[:, code] for code in range(self.classes)]  # numpy is slow on a short axis
            top = classes[0].copy()
            for values in classes[1:]:
                np.maximum(top, values, out=top)
            block -= top[:, None]
            np.exp(block, out=block)
            total = classes[0].copy()
            for values in classes[1:]:
                total += values
            block /= total[:, None]
            np.log(total, out=total)
            np.add(top, total, out=evidence[first : first + size])
        posterior = log_joint
        if len(rows):
            evidence[rows] = joint
            self.clamp(posterior)
        return posterior, evidence


def sums(codes: Ints, values: Floats, size: int) -> Floats:
    """(size,) the sum of `values` by code."""
    total: Any = np.bincount(codes, values, size)
    return np.asarray(total, np.float64)


def _known(labels: Labels, controls: Mapping[str, str]) -> Ints:
    classes = {name: code for code, name in enumerate(labels.classes)}
    strange = sorted({answer for answer in controls.values() if answer not in classes})
    if strange:
        raise NotLabels(
            f"controls have answers that no rater gave: {', '.join(strange[:5])}\n"
            f"  The labels know {', '.join(labels.classes[:20])}. Are they spelled the same?"
        )
    known = np.full(len(labels.examples), -1, np.int64)
    if not controls:
        return known
    for code, example in enumerate(labels.examples):
        if example in controls:
            known[code] = classes[controls[example]]
    return known


def _distinct(labels: Labels) -> tuple[Ints, Ints, Ints, Floats]:
    """Distinct triples and how often each is there; rows of `Labels` are sorted."""
    columns = (labels.example, labels.rater, labels.label)
    first = np.ones(len(labels), bool)
    first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    starts = np.flatnonzero(first)
    weight = np.diff(np.append(starts, len(labels))).astype(np.float64)
    item, rater, label = (column[starts].astype(np.int64) for column in columns)
    return item, rater, label, weight


def _starts(item: Ints, items: int) -> NDArray[np.int32]:
    return np.searchsorted(item, np.arange(items + 1)).astype(np.int32)


def _inverse(order: Ints) -> Ints:
    inverse = np.empty(len(order), np.int64)
    inverse[order] = np.arange(len(order))
    return inverse


def mix(value: Hashes) -> Hashes:
    """A 64-bit finaliser (splitmix64): unsigned products wrap. Equal in, equal out; else as good as random."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _colours(
    sides: tuple[Ints, Ints, Ints], weight: Floats, known: Ints, lengths: tuple[int, int, int]
) -> list[Hashes]:
    """A hash of the content of each item, rater and class: colour refinement over the triples. Each adds to the one the
    product of the two others; sums and products of unsigned integers wrap and do not depend on their order."""
    times = weight.astype(np.uint64)
    hashes = [np.full(length, side, np.uint64) for side, length in enumerate(lengths, 1)]
    rows = np.flatnonzero(known >= 0)
    hashes[0][rows] = 977
    for _ in range(_ROUNDS):
        seen = [mix(hashes[side])[sides[side]] for side in range(3)]
        fresh = []
        for side in range(3):
            left, right = (seen[other] for other in range(3) if other != side)
            total = np.zeros(lengths[side], np.uint64)
            np.add.at(total, sides[side], left * right * times)
            fresh.append(mix(hashes[side] + total))
        fresh[0][rows] = mix(fresh[0][rows] ^ hashes[2][known[rows]])
        hashes = fresh
    return hashes
