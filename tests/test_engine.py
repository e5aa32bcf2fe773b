"""The local engine: results, failures, deaths charged to their task and item, hangs."""

import errno

import pytest

import engine_tasks as tasks
from tamis.engine import ITEM_BYTES, Died, Hung, Inline, Local, TaskFailed, item_name, run_alone


def collect(engine, function, items):
    found = {}
    engine.map(function, items, lambda name, result: found.__setitem__(name, result))
    return found


def test_results_and_progress_are_the_same_for_every_engine():
    items = [(f"n{i}", i) for i in range(20)]
    for engine in (Inline(), Local(1), Local(2)):
        progress = []
        found = {}
        engine.map(
            tasks.double, items, lambda name, result, found=found: found.__setitem__(name, result), progress.append
        )
        engine.close()
        assert found == {f"n{i}": 2 * i for i in range(20)}
        if not isinstance(engine, Inline):
            assert 0 < sum(progress) <= 20
        else:
            assert sum(progress) == 20


def test_a_failure_names_its_task_and_keeps_what_was_finished():
    with Local(2) as engine:
        found = {}
        with pytest.raises(TaskFailed, match="n3: three is refused") as failure:
            engine.map(
                tasks.fail_on_three,
                [(f"n{i}", i) for i in range(8)],
                lambda name, result: found.__setitem__(name, result),
            )
        assert failure.value.name == "n3"
        assert "n0" in found
        # and the engine still works afterwards
        assert collect(engine, tasks.double, [("a", 1)]) == {"a": 2}


def test_deaths_are_charged_to_the_item_and_the_task_goes_on():
    with Local(2) as engine:
        argument = (["a", "b", "c", "d"], ["b", "d"])
        found = collect(engine, tasks.die_at_items, [("bad", argument), ("good", (["a", "c"], []))])
    assert found == {"bad": ["b", "d"], "good": []}


def test_poison_is_not_retried_for_ever():
    with Local(1) as engine, pytest.raises(TaskFailed, match=r"workers died 3 times \(signal SIGKILL\).*'poison'"):
        collect(engine, tasks.always_die, [("t", None)])


def test_a_task_that_dies_at_ever_new_items_is_given_up(monkeypatch):
    monkeypatch.setattr("tamis.engine.MOST_SUSPECTS", 2)
    items = [f"item {number}" for number in range(9)]
    with Local(1) as engine, pytest.raises(TaskFailed, match="workers died 3 times"):
        collect(engine, tasks.die_at_items, [("t", (items, items))])


def test_a_death_without_an_item_is_retried(tmp_path):
    with Local(1) as engine:
        assert collect(engine, tasks.die_once, [("t", str(tmp_path / "marker"))]) == {"t": "second time"}


def test_what_hangs_is_killed_and_marked():
    with Local(1, hang_seconds=1.0) as engine:
        assert collect(engine, tasks.hang_at_item, [("t", "page 7")]) == {"t": "marked"}


@pytest.mark.parametrize("item", ["x" * 3000, "é" * 1500, "a\0b", "\udcff", "x" * (ITEM_BYTES - 1), "x" * ITEM_BYTES])
def test_an_item_of_any_name_is_found_among_the_suspects(item):
    name = item_name(item)
    assert len(name.encode()) < ITEM_BYTES
    assert item_name(name) == name
    assert item_name(item + "y") != name
    with Local(1) as engine:
        assert collect(engine, tasks.suspected, [("t", item)]) == {"t": "found"}


def test_the_slow_kernels_are_given_more_time(monkeypatch):
    assert Local(1).hang_seconds in (120, 2400)
    monkeypatch.setattr("tamis.kernels.backend", lambda: "reference")
    assert Local(1).hang_seconds == 2400
    assert Local(1, hang_seconds=3).hang_seconds == 3


def test_run_alone():
    with pytest.raises(Hung, match="sleep_long"):
        run_alone(tasks.sleep_long, (), seconds=0.5)
    with pytest.raises(Died, match="SIGKILL"):
        run_alone(tasks.touch, ("x", ["x"]), seconds=20)
    assert run_alone(tasks.touch, ("x", []), seconds=20) is None
    assert run_alone(tasks.interrupted, (), seconds=20) == "still here"


def passing(function, argument):
    with Local(1) as engine, pytest.raises(TaskFailed) as failed:
        engine.map(function, [("it", argument)], lambda *_: None)
    return failed.value.passing


def test_a_failure_says_whether_its_cause_may_pass():
    assert passing(tasks.raise_errno, errno.ENOSPC)
    assert not passing(tasks.raise_errno, errno.ENOENT)
    assert not passing(tasks.fail_on_three, 3)
    assert passing(tasks.always_die, 0)
