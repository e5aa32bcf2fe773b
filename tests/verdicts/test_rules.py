from __future__ import annotations

import json

import pytest

from tamis.signals import contamination
from tamis.verdicts.rules import (
    RuleError,
    RuleSet,
    catalogue,
    dumps,
    load_preset,
    load_rules,
    merge_trims,
    preset_names,
)

# The numbers as the papers print them, typed a second time from the sources and not from the data files.
GOPHER = {
    "short": "text.script_words >= 50",
    "long": "text.script_words <= 100000",
    "mean_word": "text.mean_word between 3 and 10",
    "hashes": "text.hash_ratio <= 0.1",
    "ellipses": "text.ellipsis_ratio <= 0.1",
    "bullets": "text.bullet_lines <= 0.9",
    "ellipsis_lines": "text.ellipsis_lines <= 0.3",
    "alpha_words": "text.alpha_words >= 0.8",
    "stop_words": "text.stop_words >= 2",
    "dup_lines": "repetition.dup_lines <= 0.30",
    "dup_paragraphs": "repetition.dup_paragraphs <= 0.30",
    "dup_line_chars": "repetition.dup_line_chars <= 0.20",
    "dup_paragraph_chars": "repetition.dup_paragraph_chars <= 0.20",
    "top_2": "repetition.top_2 <= 0.20",
    "top_3": "repetition.top_3 <= 0.18",
    "top_4": "repetition.top_4 <= 0.16",
    "dup_5": "repetition.dup_5 <= 0.15",
    "dup_6": "repetition.dup_6 <= 0.14",
    "dup_7": "repetition.dup_7 <= 0.13",
    "dup_8": "repetition.dup_8 <= 0.12",
    "dup_9": "repetition.dup_9 <= 0.11",
    "dup_10": "repetition.dup_10 <= 0.10",
}
FINEWEB = {
    "line_punct": "final.line_punct > 0.12",
    "short_lines": "final.short_lines < 0.67",
    "repeated_lines": "final.dup_line_chars < 0.01",
    "list_ratio": "final.list_ratio_punct <= 0.3",
}


@pytest.mark.parametrize(("preset", "numbers"), [("gopher@paper", GOPHER), ("fineweb@v1", FINEWEB)])
def test_presets_have_the_published_numbers(signals, preset, numbers):
    assert {rule.name: rule.where.text for rule in load_rules([preset], {}, signals)} == numbers


# The forms of the papers, one of each; the other presets are dialects of these and share the names of their rules.
FORMS = ["c4@jmlr", "decontaminated@13gram", "fineweb@v1", "gopher@paper", "refinedweb@dclm"]


def test_the_forms_of_the_papers_load_together_without_a_clash(signals):
    together = load_rules(FORMS, {}, signals)
    assert len(together) == sum(len(load_preset(name).rules) for name in FORMS)
    assert len(set(together.names)) == len(together)
    assert all(rule.source and rule.origin in preset_names() for rule in together)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_alone_and_beside_its_paper(name):
    evals = {f"eval.{column.name}": column.type for column in contamination.COLUMNS}
    known = catalogue() | evals
    alone = load_rules([name], {}, known)
    assert len(alone) > 0
    assert all(rule.source and rule.unit for rule in alone)
    assert load_preset(name).name == name
    form = next((form for form in FORMS if form.split("@")[0] == name.split("@")[0] and form != name), None)
    if form:
        both = load_rules([form, name], {}, known)
        assert len(set(both.names)) == len(both)


def test_every_preset_signal_is_measured():
    """The names in the presets against the real signal groups, `eval` (of a recipe's `decontaminate`) among them."""
    evals = {f"eval.{column.name}": column.type for column in contamination.COLUMNS}
    assert len(load_rules(FORMS, {}, catalogue() | evals)) > 20


def test_english_rules_are_scoped():
    scopes = {rule["name"]: rule.get("scope") for name in FORMS for rule in load_preset(name).rules}
    assert scopes["stop_words"] == scopes["line_punct"] == "lang.code = 'en'"
    for name in ("mean_word", "top_2", "dup_10", "short_lines", "list_ratio", "hashes"):
        assert str(scopes[name]).startswith("lang.spaced")
    assert scopes["short"] == "lang.code <> 'bo'"


def test_settings_replace_in_place_add_at_the_end_and_take_out(signals):
    rules = load_rules(
        ["gopher@paper"],
        {
            "top_2": "repetition.top_2 <= 0.25",
            "short": False,  # how YAML reads `off`
            "long": "off",
            "english": {"where": "lang.code = 'en'", "source": "we only want English", "unit": ""},
        },
        signals,
    )
    names = list(rules.names)
    assert names[:1] == ["mean_word"]
    assert names[-1] == "english"
    assert names.index("top_2") == names.index("top_3") - 1
    top = rules["top_2"]
    assert top.where.text == "repetition.top_2 <= 0.25"
    assert top.scope is not None
    assert top.origin == "recipe"
    assert "gopher@paper" in top.source
    assert rules["english"].source == "we only want English"


def test_a_mapping_can_widen_the_scope(signals):
    rules = load_rules(["gopher@paper"], {"top_2": {"scope": None}}, signals)
    assert rules["top_2"].scope is None
    assert rules["top_2"].where.text == "repetition.top_2 <= 0.20"


@pytest.mark.parametrize(
    ("use", "settings", "path", "part"),
    [
        (["gopher"], {}, ("rules", "use", 0), "did you mean gopher@paper"),
        (["c4@jmlr", "c4@jmlr"], {}, ("rules", "use", 1), "twice"),
        ([], {"too_short": "text.word > 3"}, ("rules", "set", "too_short"), "did you mean text.words"),
        (["gopher@paper"], {"shrt": "off"}, ("rules", "set", "shrt"), "did you mean short"),
        ([], {"duplicate": "text.words > 3"}, ("rules", "set", "duplicate"), "always there"),
        ([], {"x": {"were": "text.words > 3"}}, ("rules", "set", "x"), "no key `were`"),
        ([], {"x": {"scope": "lang.spaced"}}, ("rules", "set", "x"), "needs an expression"),
        ([], {"x": True}, ("rules", "set", "x"), "says nothing"),
        ([], {"a b": "text.words > 3"}, ("rules", "set", "a b"), "cannot be named"),
        ([], {"x": {"where": "text.words > 3", "scope": "text.words"}}, ("rules", "set", "x"), "bigint"),
    ],
)
def test_wrong_rules_say_what_where_and_how_to_mend(signals, use, settings, path, part):
    with pytest.raises(RuleError, match=part) as error:
        load_rules(use, settings, signals)
    assert error.value.path == path


def test_more_rules_than_a_mask_holds_are_refused(signals):
    settings = {f"r{number}": "text.words > 3" for number in range(63)}
    with pytest.raises(RuleError, match="more than one recipe can hold"):
        load_rules([], settings, signals)


def test_a_rule_set_survives_json(signals):
    rules = load_rules(FORMS, {"blocked": "url.blocked is null"}, signals)
    assert RuleSet.from_json(json.loads(dumps(rules))) == rules
    assert dumps(rules) == dumps(RuleSet.from_json(json.loads(dumps(rules))))


def test_changed_gives_a_new_set(signals):
    rules = load_rules(["gopher@paper"], {}, signals)
    other = rules.changed({"top_2": "repetition.top_2 <= 0.3"}, signals)
    assert other["top_2"].where.text == "repetition.top_2 <= 0.3"
    assert rules["top_2"].where.text == "repetition.top_2 <= 0.20"


def test_the_stricter_trim_stands_for_both(signals):
    assert merge_trims(["c4_no_terminal", "c4", "refinedweb", "c4"]) == ("c4", "refinedweb")
    assert load_rules(["fineweb@v1", "c4@jmlr"], {}, signals).trims == ("c4",)
    assert load_rules(["fineweb@v1"], {}, signals).trims == ("c4_no_terminal",)


def test_groups_are_those_that_rules_read_and_document(signals):
    assert load_rules([], {"a": "url.blocked is null"}, signals).groups == ("document", "url")
