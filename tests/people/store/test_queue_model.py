"""The queue under any order of what raters, clocks and restarts may do."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from people_store import Clock, check, exactly, finish, join, write_task
from tamis.people.store import Assignment, Store, StoreError

OVERLAP = 2
ANSWERS = st.sampled_from(["yes", "no"])


class Machine(RuleBasedStateMachine):
    """Three raters, five examples, two slots each, gold and repeats often."""

    make_database = None
    folder = None
    raters = st.integers(0, 2)
    seen = Bundle("seen")

    @initialize(gold=st.booleans())
    def start(self, gold):
        self.clock = Clock()
        self.address = type(self).make_database()
        extra = {"gold": {"share": 0.3, "bad": 0.3, "good": 0.31}} if gold else {}
        self.task = write_task(
            type(self).folder, examples=5, overlap=OVERLAP, repeats=0.2, **({"gold": 3} if gold else {})
        )
        if gold:
            self.task = self.task.model_copy(update={"gold": self.task.gold.model_copy(update=extra["gold"])})
        self.store = Store.open(self.address, self.task, self.clock)
        self.people = [join(self.store, number) for number in range(3)]
        self.acknowledged = {}
        self.token = 0

    def teardown(self):
        if not hasattr(self, "store"):
            return
        fresh = [join(self.store, 10 + number) for number in range(OVERLAP)]
        finish(self.store, [*self.people, *fresh], self.clock)
        check(self.store, OVERLAP)
        exactly(self.store, OVERLAP)
        self.store.close()

    @rule(target=seen, who=raters)
    def next(self, who):
        found = self.store.next_for(self.people[who])
        again = self.store.next_for(self.people[who])
        assert found == again or not isinstance(found, Assignment), "a reload gives the same example"
        return (who, found.id if isinstance(found, Assignment) else None)

    @rule(target=seen, what=seen, answer=ANSWERS)
    def submit(self, what, answer):
        who, assignment = what
        self.token += 1
        if assignment is None:
            return what
        try:
            out = self.store.submit(self.people[who], assignment, answer, f"t{self.token}", 1.0)
        except StoreError as error:
            assert error.code in ("not-open", "blocked")  # noqa: PT017
            return what
        assert out.status in ("accepted", "surplus")
        self.acknowledged[(who, assignment)] = (f"t{self.token}", answer)
        return (who, out.next.id if isinstance(out.next, Assignment) else None)

    @rule(what=seen)
    def submit_twice(self, what):
        who, assignment = what
        if what not in self.acknowledged:
            return
        token, answer = self.acknowledged[what]
        before = self.store.head()
        try:
            assert self.store.submit(self.people[who], assignment, answer, token).status == "again"
        except StoreError as error:
            assert error.code in ("not-open", "blocked")  # noqa: PT017
        assert self.store.head() == before, "nothing is written twice"

    @rule(what=seen)
    def skip(self, what):
        who, assignment = what
        self.token += 1
        if assignment is not None:
            try:
                self.store.skip(self.people[who], assignment, "unclear", f"t{self.token}")
            except StoreError as error:
                assert error.code == "not-open"  # noqa: PT017

    @rule(who=raters)
    def undo(self, who):
        try:
            found = self.store.undo(self.people[who])
        except StoreError as error:
            assert error.code == "no-undo"  # noqa: PT017
            return
        assert found.previous in ("yes", "no")
        self.acknowledged.pop((who, found.id), None)

    @rule(what=consumes(seen))
    def renew(self, what):
        who, assignment = what
        if assignment is not None:
            try:
                self.store.renew(self.people[who], assignment)
            except StoreError as error:
                assert error.code == "not-open"  # noqa: PT017

    @rule(seconds=st.sampled_from([1, 59, 61, 200]))
    def time_passes(self, seconds):
        self.clock.pass_(seconds)

    @rule(who=raters)
    def release(self, who):
        self.store.release(self.people[who], None, "test")
        self.acknowledged = {key: value for key, value in self.acknowledged.items() if key[0] != who}

    @rule(number=st.integers(0, 1))
    def relabel(self, number):
        self.store.set_guideline(f"# Another {number}", None)
        if self.store.relabel(None):
            self.acknowledged = {}

    @rule()
    def restart(self):
        self.store.close()
        self.store = Store.open(self.address, None, self.clock)

    @invariant()
    def holds(self):
        if hasattr(self, "store"):
            check(self.store, OVERLAP)


def test_no_order_of_events_breaks_the_queue(make_database, tmp_path, request):
    class Here(Machine):
        pass

    Here.make_database, Here.folder = staticmethod(make_database), tmp_path / "task"
    many = 12 if "sqlite" in request.node.name else 4
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=many, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
