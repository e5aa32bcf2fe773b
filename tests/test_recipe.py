"""Recipes: what is refused, where the message points, what it suggests."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis import recipe as recipes
from tamis.recipe import parse
from tamis.yaml_models import RecipeError

GOOD = """\
name: web
sources:
  - name: crawl
    path: data/*.warc.gz
rules:
  use: [gopher@paper]
  set:
    short: off
    english: lang.code = 'en'
"""


def problems(text):
    with pytest.raises(RecipeError) as error:
        parse(text, "web.yaml")
    return error.value.problems


def test_a_small_recipe_is_enough():
    recipe = parse(GOOD)
    assert recipe.sources[0].paths == ("data/*.warc.gz",)
    assert recipe.rules.set == {"short": False, "english": "lang.code = 'en'"}
    assert recipe.dedup.minhash is not None
    assert recipe.dedup.minhash.bands == 14


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("path:", "pth:"), 4, "unknown key `sources.0.pth`; did you mean path?"),
        (("name: web", "nam: web"), 1, "unknown key `nam`; did you mean name?"),
        (("name: web", "seed: -1"), 1, "`seed`: input should be greater than or equal to 0, not -1"),
        (("short: off", "short: on"), 8, "short: give an expression, or `off`"),
        (("rules:", "rules: ["), 7, "not YAML"),
        (("name: web", "mixture: {epochs: {crwl: 2}}"), 1, "unknown source: crwl; did you mean crawl?"),
        (("name: web", "dedup: {minhash: {rowz: 8}}"), 1, "unknown key `dedup.minhash.rowz`; did you mean rows?"),
        (("name: web", "tokens: {tokenizer: {vocb: 9}}"), 1, "`tokens.tokenizer.vocb`; did you mean vocab?"),
        (("    path: data/*.warc.gz\n", ""), 3, "needs `path`"),
        (("name: web", "name: web\nname: other"), 2, "`name` stands here twice"),
    ],
)
def test_mistakes_point_at_their_line(change, line, words):
    found = problems(GOOD.replace(*change))
    assert any(words in problem for problem in found), found
    if "twice" not in words and "unknown source" not in words and "give an" not in words:
        assert any(problem.startswith(f"web.yaml:{line}: ") for problem in found), found


def test_two_sources_of_one_name_are_refused():
    text = GOOD.replace("rules:", "  - {name: crawl, path: other}\nrules:")
    assert any("two sources are named crawl" in problem for problem in problems(text))


def test_relative_paths_are_relative_to_the_recipe(tmp_path):
    (tmp_path / "web.yaml").write_text(GOOD)
    assert recipes.load(tmp_path / "web.yaml").sources[0].paths == (str(tmp_path / "data/*.warc.gz"),)
    with pytest.raises(RecipeError, match="no such recipe"):
        recipes.load(tmp_path / "none.yaml")


def test_urls_stay_urls(tmp_path):
    (tmp_path / "web.yaml").write_text(GOOD.replace("data/*.warc.gz", "s3://bucket/*.warc.gz"))
    assert recipes.load(tmp_path / "web.yaml").sources[0].paths == ("s3://bucket/*.warc.gz",)


def test_the_digest_follows_the_content():
    assert parse(GOOD).digest == parse(GOOD + "\n# a remark\n").digest
    assert parse(GOOD).digest != parse(GOOD.replace("short", "long")).digest


def test_the_schema_names_every_key():
    schema = recipes.schema()
    assert {"sources", "clean", "dedup", "rules", "mixture", "tokens"} <= set(schema["properties"])


@given(st.text(max_size=60))
def test_no_text_crashes_the_reader(text):
    for written in (text, GOOD.replace("web", text)):
        with contextlib.suppress(RecipeError):
            parse(written)


def test_every_option_of_a_source_reaches_its_reader():
    from tamis.reading import source_spec
    from tamis.sources import FORMATS

    text = "sources: [{name: a, path: a.jsonl, options: {kind: html, meta_fields: [lang], digests: false}}]"
    recipe = parse(text)
    spec = source_spec(recipe.sources[0], recipe)
    assert (spec.options["kind"], spec.options["meta_fields"], spec.options["digests"]) == ("html", ("lang",), False)
    for name in FORMATS:
        assert parse(f"sources: [{{name: a, path: a, format: {name}}}]").sources[0].format == name


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        recipes.load(tmp_path)


def test_mistakes_are_told_without_words_of_the_library():
    head = "sources: [{name: a, path: b}]\n"
    assert problems("sources: []\n") == ["web.yaml:1: `sources`: it needs at least 1 entry"]
    assert "it must have the form" in problems(head + "name: '!!'\n")[0]
    assert "a mapping, not 5" in problems(head + "signals: {words: {a: 5}}\n")[0]
    (said,) = problems(head + "clean: {pii: {mask: [email, name]}}\n")
    assert "`names: MODEL`" in said
    (said,) = problems(head + "clean: {pii: {mask: [email], replace: {emial: x}}}\n")
    assert "not 'emial'" in said
