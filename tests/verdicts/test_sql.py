from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tamis.verdicts import sql
from tamis.verdicts.rules import load_rules
from tamis.verdicts.task import evaluate


def tables(**columns: pa.Array) -> dict[str, pa.Table]:
    groups: dict[str, dict[str, pa.Array]] = {}
    for name, values in columns.items():
        group, column = name.split("__")
        groups.setdefault(group, {})[column] = values
    return {group: pa.table(data) for group, data in groups.items()}


def test_a_connection_reaches_no_file_and_cannot_be_reconfigured(tmp_path):
    target = tmp_path / "x.csv"
    connection = sql.connect()
    with pytest.raises(duckdb.Error):
        connection.execute(f"COPY (SELECT 1) TO '{target}'")
    with pytest.raises(duckdb.Error):
        connection.execute("SELECT * FROM read_text('/etc/hostname')")
    with pytest.raises(duckdb.Error):
        connection.execute("SET enable_external_access = true")
    with pytest.raises(duckdb.Error):
        connection.execute("INSTALL httpfs")
    assert not target.exists()


def test_false_drops_null_does_not_and_no_text_is_bit_zero(signals):
    rules = load_rules([], {"words": "text.words >= 50", "top": "repetition.top_2 <= 0.2"}, signals)
    found = evaluate(
        rules,
        tables(
            document__extracted=pa.array([True, True, True, True, False]),
            text__words=pa.array([50, 49, None, 3, 3]),
            repetition__top_2=pa.array([0.2, 0.1, 0.3, 0.21, 0.9]),
        ),
    )
    assert found.tolist() == [0, 0b010, 0b100, 0b110, 1]


def test_out_of_scope_and_unknown_scope_drop_nothing(signals):
    rules = load_rules([], {"top": {"where": "repetition.top_2 <= 0.2", "scope": "lang.spaced"}}, signals)
    found = evaluate(
        rules,
        tables(
            document__extracted=pa.array([True] * 3),
            lang__spaced=pa.array([True, False, None]),
            repetition__top_2=pa.array([0.5, 0.5, 0.5]),
        ),
    )
    assert found.tolist() == [0b10, 0, 0]


def test_a_limit_is_the_number_that_is_written(signals):
    """Shares are doubles, and a share computed as 3 / 10 must not be above the literal 0.3."""
    rules = load_rules([], {"lines": "repetition.dup_lines <= 0.3"}, signals)
    shares = pa.array([3 / 10, np.nextafter(0.3, 1)])
    found = evaluate(rules, tables(document__extracted=pa.array([True, True]), repetition__dup_lines=shares))
    assert found.tolist() == [0, 2]


def test_masks_equal_a_plain_loop(signals):
    rng = np.random.default_rng(5)
    rows, count = 3000, 62
    words = rng.integers(0, 100, rows)
    gone = rng.random(rows) < 0.2
    settings = {f"r{limit}": f"text.words >= {limit}" for limit in range(count)}
    rules = load_rules([], settings, signals)
    found = evaluate(
        rules, tables(document__extracted=pa.array(rng.random(rows) < 2), text__words=pa.array(words, mask=gone))
    )
    for row in range(0, rows, 37):
        expected = 0 if gone[row] else sum(1 << (limit + 1) for limit in range(count) if words[row] < limit)
        assert int(found[row]) == expected


def test_tables_of_different_length_are_refused(signals):
    rules = load_rules([], {"words": "text.words >= 50"}, signals)
    with pytest.raises(ValueError, match="differ in rows"):
        evaluate(rules, tables(document__extracted=pa.array([True]), text__words=pa.array([1, 2])))


def test_an_empty_shard_and_no_rules(signals):
    empty = tables(document__extracted=pa.array([], pa.bool_()), text__words=pa.array([], pa.int64()))
    assert len(evaluate(load_rules([], {"words": "text.words >= 50"}, signals), empty)) == 0
    one = tables(document__extracted=pa.array([True, False]))
    assert evaluate(load_rules([], {}, signals), one).tolist() == [0, 1]
