import re

import pytest

from tamis.people.answers import SAID, BadAnswer
from tamis.web.language import LANGUAGES, Words, catalogue, choose


def test_every_language_says_the_same_things() -> None:
    first, *others = (catalogue(code) for code in LANGUAGES)
    for other in others:
        assert first.keys() == other.keys()
        for key, message in first.items():
            names = set(re.findall(r"\{(\w+)\}", message))
            assert names == set(re.findall(r"\{(\w+)\}", other[key])), key
            assert other[key].strip(), key


def test_refusals_are_said_in_every_language() -> None:
    assert {f"bad.{key}": said for key, said in SAID.items()}.items() <= catalogue("en").items()
    inner = BadAnswer.of("few_labels", number="1", least="2")
    error = BadAnswer.of("of_question", name="flaws", why=inner)
    assert str(error) == Words("en").refusal(error) == "flaws: too few labels: 1 given, at least 2 needed"
    assert Words("zh").refusal(error) == "flaws：标签太少：已选 1 个，至少需要 2 个"
    assert Words("zh").refusal(BadAnswer("the owner's own words")) == "the owner's own words"


@pytest.mark.parametrize(
    ("cookie", "accept", "expected"),
    [
        (None, None, "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "fr, en;q=0.3, zh;q=0.7", "zh"),
        (None, "en;q=0, zh;q=x, *", "en"),
        ("zh", "en", "zh"),
        ("xx", "zh", "zh"),
        (None, "zh-TW;q=0.1," * 30, "zh"),
    ],
)
def test_the_language_is_chosen_by_cookie_then_by_the_browser(
    cookie: str | None, accept: str | None, expected: str
) -> None:
    assert choose(cookie, accept) == expected


def test_a_task_may_allow_one_language_only() -> None:
    assert choose("zh", "zh", ("en",)) == "en"


def test_times_are_words() -> None:
    assert Words("en").minutes(10) == "1 min"
    assert Words("en").minutes(3_900) == "1 h 5 min"
    with pytest.raises(KeyError):
        Words("en")("no.such.key")
