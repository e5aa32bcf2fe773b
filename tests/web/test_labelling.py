"""The page that labels, without a script: what a plain browser, or one that keyboards and readers drive, can do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from web.serving import KINDS, Browser, Server

Serve = Callable[..., Server]
ANSWERS: dict[str, dict[str, Any]] = {
    "choice": {"answer": "good"},
    "multi": {"answer": ["blue", "red"]},
    "rating": {"answer": "6"},
    "text": {"answer": "Because of\r\nthe floods."},
    "rewrite": {"answer": "Ann and Bob met."},
    "span": {"answer.span": ["0,3,name", "15,20,place"]},
    "rubric": {"answer.clear": "yes", "answer.score": "4", "answer.why": ""},
}
KEPT: dict[str, Any] = {
    "choice": "good",
    "multi": ["red", "blue"],
    "rating": 6,
    "text": "Because of\nthe floods.",
    "span": [{"start": 0, "end": 3, "label": "name"}, {"start": 15, "end": 20, "label": "place"}],
    "rubric": {"clear": "yes", "score": 4},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_is_labelled_to_its_end(serve: Serve, kind: str) -> None:
    server = serve(kind, count=3)
    server.person("ann")
    browser = server.client("ann")
    page = browser.see("/label")
    for n in range(3):
        assert "secret-id" not in page
        assert "first_model" not in page
        assert f"{n} done" in page
        fields = ANSWERS.get(kind)
        keys = re.findall(r'name="answer.item" value="(\w+)"', page)
        if kind == "pairwise":
            fields = {"answer": re.findall(r'name="answer" value="(\w+)"', page)[n]}
        elif kind == "preference":
            fields = {"answer.item": keys, "answer.place": ["", "1", ""]}
        elif kind == "ranking":
            fields = {"answer.item": keys, "answer.place": ["3", "1", "2"]}
        done = browser.answer(**(fields or {}), seconds="2.5")
        assert done.status_code == 200, done.text
        page = done.text
    assert "All done" in page
    kept = [one for one in server.store.answers() if one.kind == "work"]
    assert len(kept) == 3
    assert {one.seconds for one in kept} == {2.5}
    if kind in KEPT:
        assert [one.value for one in kept] == [KEPT[kind]] * 3
    if kind == "pairwise":
        assert [one.value for one in kept] == [kept[0].shown[0], "tie", kept[2].shown[1]]
    if kind == "preference":
        assert all(one.value[0] == [one.shown[1]] and len(one.value[1]) == 2 for one in kept)
    if kind == "ranking":
        assert all(one.value == [[one.shown[1]], [one.shown[2]], [one.shown[0]]] for one in kept)
    if kind == "rewrite":
        assert all(one.value["diff"] for one in kept)


def test_undo_brings_the_answer_back_into_its_fields(serve: Serve) -> None:
    server = serve("rubric")
    server.person("ann")
    browser = server.client("ann")
    browser.see("/label")
    first = browser.field("assignment")
    browser.answer(**{"answer.clear": "no", "answer.score": "2", "answer.flaws": ["rude"], "answer.why": "so"})
    page = browser.post_form("/label/undo").text
    assert "Your last answer is open again" in page
    for name, value in (("clear", "no"), ("score", "2"), ("flaws", "rude")):
        assert re.search(rf'name="answer.{name}" value="{value}" checked', page)
    assert ">\n\nso</textarea>" in page or ">\nso</textarea>" in page
    browser.answer(**{"answer.clear": "yes", "answer.score": "5"})
    assert [one.value for one in server.store.answers() if one.state == "live"] == [{"clear": "yes", "score": 5}]
    assert first


def test_a_refused_answer_keeps_what_was_typed(serve: Serve) -> None:
    server = serve("text")
    server.person("ann")
    browser = server.client("ann")
    browser.see("/label")
    done = browser.answer(answer="ab")
    assert done.status_code == 422
    assert "at least 3 needed" in done.text
    assert "ab</textarea>" in done.text
    assert browser.answer(answer="abc").status_code == 200


def test_the_same_form_twice_is_one_answer(serve: Serve) -> None:
    server = serve("choice")
    server.person("ann")
    browser = server.client("ann")
    page = browser.see("/label")
    browser.answer(answer="good")
    browser.page = page
    again = browser.answer(answer="good")
    assert again.status_code == 200
    assert len([one for one in server.store.answers() if one.kind == "work"]) == 1
    browser.page = page
    late = browser.answer(answer="bad", token="another")
    assert late.status_code == 409
    assert "no longer yours" in late.text


def test_skipping_keeps_its_reason(serve: Serve) -> None:
    server = serve("choice")
    server.person("ann")
    browser = server.client("ann")
    browser.see("/label")
    browser.answer("/label/skip", reason="language", note="Welsh?")
    browser.answer("/label/skip", reason="<script>")
    assert [skip.reason for skip in server.store.skips()] == ["language: Welsh?", "other"]


def test_passages_are_added_without_a_script(serve: Serve) -> None:
    text = "日本 Ann saw\r\nAnn & <Bob> \U0001f600 Ann"
    server = serve("span", rows=[{"id": "1", "prompt": "p", "text": text}])
    server.person("ann")
    browser = server.client("ann")
    browser.see("/label")
    add = {"span_add": "answer", "answer.passage_label": "name"}
    page = browser.answer("/label/spans", **add, **{"answer.passage": "Ann", "answer.passage_which": "3"}).text
    last = text.rindex("Ann")
    assert f'value="{last},{last + 3},name"' in page
    held = browser.field("answer.span")
    page = browser.answer("/label/spans", **add, **{"answer.passage": "<Bob>", "answer.span": held}).text
    assert page.count('name="answer.span"') == 2
    page = browser.answer("/label/spans", **add, **{"answer.passage": "Eve", "answer.span": held}).text
    assert "no such passage" in page
    page = browser.answer("/label/spans", span_remove="answer:0", **{"answer.span": held}).text
    assert 'name="answer.span"' not in page
    browser.answer(**{"answer.span": held})
    assert [one.value[0]["start"] for one in server.store.answers()] == [last]


def test_a_rewrite_shows_its_changes(serve: Serve) -> None:
    server = serve("rewrite", rows=[{"id": "1", "prompt": "p", "text": "a small <b>error</b>"}])
    server.person("ann")
    browser = server.client("ann")
    browser.see("/label")
    page = browser.answer("/label/preview", answer="a big <b>error</b>").text
    assert "a <del>small</del><ins>big</ins> &lt;b&gt;error&lt;/b&gt;" in page


def test_the_guideline_is_read_first_and_again_after_a_change(serve: Serve) -> None:
    server = serve("choice")
    owner = server.person("own", "owner")
    server.person("ann", read=False)
    browser = server.client("ann")
    assert browser.get("/label").headers["location"] == "/label/guideline"
    browser.see("/label/guideline")
    browser.post_form("/label/guideline", hash=browser.field("hash"))
    browser.see("/label")
    server.store.set_guideline("# Other", owner)
    # What was lent under the old one is answered under it; the next example comes under the new one.
    assert browser.answer(answer="good").headers["location"] == "/label/guideline"
    assert "Please read it" in browser.get("/label", headers={"x-fragment": "1"}).text
    assert "has changed" in browser.see("/label/guideline")


def test_training_says_what_was_expected_and_the_test_does_not(serve: Serve, tmp_path: Any) -> None:
    _, browser = examined(serve, tmp_path)
    assert "Training" in browser.see("/label")
    page = browser.answer(answer="bad").text
    assert "another one" in page
    assert "Your answer: bad." in page
    assert "Expected: good." in page
    assert "because &lt;i&gt;" in page
    assert "question 0 of train" in page, "the example that the feedback is about"
    assert 'name="assignment"' not in page, "no other question stands under it"
    assert "question 1 of train" not in page
    page = browser.see("/label")
    assert "question 1 of train" in page
    assert "because" not in page
    page = browser.answer(answer="good").text
    assert "Right." in page
    assert "Now comes a short test" in page
    assert "question 0 of test" not in page
    page = browser.see("/label")
    assert "A test of 2 questions, without feedback. 1 right answers pass it; attempts: 2." in page
    assert "Right." not in page
    page = browser.answer(answer="good").text
    assert "Right." not in page
    assert "A test of" not in page
    page = browser.answer(answer="bad").text
    assert "You passed" in page


def test_a_failed_attempt_is_told_before_the_next_one(serve: Serve, tmp_path: Any) -> None:
    server, browser = examined(serve, tmp_path)
    browser.see("/label")
    for _ in range(2):
        browser.answer(answer="good")
        browser.see("/label")
    browser.answer(answer="bad")
    page = browser.answer(answer="bad").text
    assert "Not passed: 0 of 2 right, 1 needed. This is attempt 2, the last." in page
    assert "Not passed: 0 of 2" in browser.see("/label"), "a reload says it again"
    browser.answer(answer="bad")
    assert "Test not passed" in browser.answer(answer="bad").text
    server.person("own", "owner")
    owner = server.client("own")
    for path in ("/owner/raters", f"/owner/raters/{server.raters['ann']}"):
        page = owner.see(path)
        assert "Test attempts" in page
        assert "0 / 2, 0 / 2" in page


def examined(serve: Serve, folder: Any) -> tuple[Server, Browser]:
    """A rater before two training examples and a test of two, of which one must be right."""
    for name in ("train", "test"):
        rows = [
            {"id": f"{name}-{n}", "prompt": f"question {n} of {name}", "answer": "good", "explanation": "because <i>"}
            for n in range(2)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    paths = {"train": str(folder / "train.jsonl"), "path": str(folder / "test.jsonl")}
    server = serve("choice", qualification={**paths, "accuracy": 0.5, "attempts": 2})
    server.person("ann")
    return server, server.client("ann")


def test_a_very_long_text_is_cut_with_a_link_to_the_rest(serve: Serve) -> None:
    text = "<b>é\u202e " * 600_000
    server = serve("choice", rows=[{"id": "1", "prompt": text}])
    server.person("ann")
    browser = server.client("ann")
    page = browser.see("/label")
    assert len(page) < 3_000_000
    assert "more characters are not shown" in page
    link = re.search(r'href="(/label/text/[^"]+)"', page)
    assert link
    whole = browser.get(link[1])
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(whole.content) > 4_000_000
    assert "\u202e" not in whole.text
    assert whole.headers["content-security-policy"].startswith("default-src 'none'")
    assert browser.get("/label/text/other/c0").status_code == 404
    assert browser.get(f"{link[1]}9999").status_code == 404


def test_what_is_left_counts_gold_and_repeats_and_stands_until_the_end(serve: Serve, tmp_path: Any) -> None:
    gold = [{"id": f"g{n}", "prompt": f"p{n}", "answer": "good"} for n in range(20)]
    (tmp_path / "gold.jsonl").write_text("\n".join(map(json.dumps, gold)))
    server = serve(
        "choice", count=40, overlap=1, repeats=0.2, gold={"path": str(tmp_path / "gold.jsonl"), "share": 0.3}
    )
    server.person("ann")
    browser = server.client("ann")
    page, promised = browser.see("/label"), []
    while "All done" not in page:
        found = re.search(r"at most (\d+) left", page)
        assert found, "no figure: the rater sees that only hidden questions go on"
        assert int(found[1]) % 10 == 0, "an exact one falls with work alone"
        promised.append(int(found[1]))
        page = browser.answer(answer="good").text
    assert len(promised) > 45, "gold and repeats came"
    assert all(left >= len(promised) - at for at, left in enumerate(promised))


def test_what_is_left_is_exact_where_nothing_is_hidden(serve: Serve) -> None:
    server = serve("choice", count=4)
    server.person("ann")
    browser = server.client("ann")
    page = browser.see("/label")
    for left in (4, 3, 2, 1):
        assert f"at most {left} left" in page
        page = browser.answer(answer="good").text
