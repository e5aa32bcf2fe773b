"""Pages without a script: what a plain browser, or one that keyboards and screen readers drive, can do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tamis.web.security import COOKIE
from web.serving import KINDS, PASSWORD, Browser, Server

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
    assert "at least 3 are needed" in done.text
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


def test_somebody_stopped_sees_why(serve: Serve) -> None:
    server = serve("choice")
    owner, ann = server.person("own", "owner"), server.person("ann")
    server.store.block(ann, owner, "spam")
    browser = server.client("ann")
    assert "stopped" in browser.see("/label")


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


def test_the_interface_is_chinese_for_who_wants_it(serve: Serve) -> None:
    server = serve("choice")
    server.person("ann")
    browser = server.client("ann", **{"accept-language": "zh-CN,zh;q=0.9"})
    browser.see("/label")
    browser.post_form("/language", language="zh", next="/label")
    page = browser.see("/label")
    assert '<html lang="zh-CN">' in page
    assert "好吗？" in page
    assert "差" in page
    assert "演示任务" in page
    done = browser.post_form("/language", language="en", next="//evil.example/")
    assert done.headers["location"] == "/"
    assert "Is it good?" in browser.see("/label")


def test_an_invitation_and_a_reset_work_once(serve: Serve) -> None:
    server = serve("choice")
    server.person("own", "owner")
    owner = server.client("own")
    owner.see("/owner/people")
    page = owner.post_form("/owner/people", role="rater", days="3").text
    path = re.search(r"http://testserver(/join/[^<]+)<", page)
    assert path
    guest = server.client()
    guest.see(path[1])
    fields = {"name": "Eve", "email": "eve@example.org", "password": PASSWORD, "again": PASSWORD}
    assert "differ" in guest.post_form(path[1], {**fields, "again": "something else"}).text
    assert "at least 10" in guest.post_form(path[1], {**fields, "password": "short", "again": "short"}).text
    done = guest.post_form(path[1], fields)
    assert done.status_code == 303
    guest.see("/me")
    assert "used up" in server.client().see(path[1], 410)
    eve = server.store.find("eve@example.org")
    assert eve
    owner.see(f"/owner/raters/{eve.id}")
    page = owner.post_form(f"/owner/raters/{eve.id}", action="reset").text
    path = re.search(r"http://testserver(/reset/[^<]+)<", page)
    assert path
    other = server.client()
    other.see(path[1])
    assert other.post_form(path[1], password="another long sentence", again="another long sentence").status_code == 303
    other.see("/me")
    # The old session is over.
    assert guest.get("/me").headers["location"] == "/sign-in"


def test_my_page_shows_work_and_pay_and_changes_the_password(serve: Serve) -> None:
    server = serve("choice", pay={"piece": 0.25, "currency": "EUR"})
    server.person("ann")
    browser = server.client("ann")
    browser.see("/label")
    browser.answer(answer="good", seconds="9")
    page = browser.see("/me")
    assert "<b>0.25</b>" in page
    assert "EUR" in page
    new = "quite another sentence"
    assert browser.post_form("/me/password", old="wrong", password=new, again=new).status_code == 422
    browser.see("/me")
    assert browser.post_form("/me/password", old=PASSWORD, password=new, again=new).status_code == 303
    browser.see("/me")
    browser.post_form("/me/everywhere")
    assert browser.get("/me").status_code == 303


def test_owners_see_every_page_and_others_none(serve: Serve) -> None:
    server = serve("pairwise", count=12, pay={"piece": 0.1})
    server.person("own", "owner")
    for name in ("ann", "bob"):
        server.person(name)
        browser = server.client(name)
        page = browser.see("/label")
        for _ in range(12):
            page = browser.answer(answer=re.findall(r'name="answer" value="(\w+)"', page)[0]).text
    owner = server.client("own")
    assert owner.get("/").headers["location"] == "/owner"
    ann = server.raters["ann"]
    rater, guest = server.client("ann"), server.client()
    pages = ("", "/agreement", "/raters", f"/raters/{ann}", "/bias", "/pay", "/guideline", "/people", "/journal")
    for path in pages:
        page = owner.see(f"/owner{path}")
        assert "undefined)" not in page
        assert "style=" not in page
        assert rater.get(f"/owner{path}").status_code == 403
        assert guest.get(f"/owner{path}").headers["location"] == "/sign-in"
    assert "<svg" in owner.see("/owner/agreement")
    assert "1.00 <span" in owner.see("/owner/bias")
    ledger = owner.get("/owner/pay.csv")
    assert ledger.headers["content-type"] == "text/csv; charset=utf-8"
    assert ledger.text.count("\n") >= 3
    owner.see("/owner/journal")
    assert "nothing was altered" in owner.post_form("/owner/journal").text
    owner.see(f"/owner/raters/{ann}")
    assert "give a reason" in owner.post_form(f"/owner/raters/{ann}", action="block").text
    assert "stopped" in owner.post_form(f"/owner/raters/{ann}", action="block", why="too fast").text
    owner.post_form(f"/owner/raters/{ann}", action="unblock", why="was wrong")
    assert "labels are void" in owner.post_form(f"/owner/raters/{ann}", action="release", why="spam").text
    assert owner.get("/owner/raters/99999").status_code == 404
    assert owner.get(f"/owner/raters/{1 << 70}").status_code == 404
    assert owner.get("/owner/raters/x").status_code == 404


def test_a_new_guideline_lists_what_to_ask_again(serve: Serve) -> None:
    server = serve("choice")
    server.person("own", "owner")
    server.person("ann")
    browser = server.client("ann")
    browser.see("/label")
    browser.answer(answer="good")
    owner = server.client("own")
    owner.see("/owner/guideline")
    assert "<h2>New</h2>" in owner.post_form("/owner/guideline", action="preview", text="## New").text
    page = owner.post_form("/owner/guideline", action="save", text="## New\r\n").text
    assert "1 labels of 1 examples" in page
    assert "secret-id" in page
    assert "1 labels will be asked again" in owner.post_form("/owner/guideline", action="relabel").text


def test_disputes_are_decided_with_a_reason(serve: Serve) -> None:
    server = serve("pairwise", count=2)
    server.person("judge", "adjudicator")
    for name, at in (("ann", 0), ("bob", 1)):
        server.person(name)
        browser = server.client(name)
        browser.see("/label")
        for _ in range(2):
            example = next(row for row in server.task.rows() if f"to {row['id'].rpartition('-')[2]}." in browser.page)
            given = server.store.next_for(server.raters[name])
            wanted = given.order.index(("first_model", "second_model")[at])  # type: ignore[union-attr]
            keys = [key for key in re.findall(r'name="answer" value="(\w+)"', browser.page) if key != "tie"]
            assert example
            browser.answer(answer=keys[wanted], note="<i>note</i>")
    judge = server.client("judge")
    page = judge.see("/adjudicate")
    assert "2 disputed" in page
    assert "&lt;i&gt;note&lt;/i&gt;" in page
    key = next(key for key in re.findall(r'name="answer" value="(\w+)"', page) if key != "tie")
    example = judge.field("example")
    done = judge.post_form("/adjudicate", example=example, answer=key, why=" ")
    assert done.status_code == 422
    assert f'value="{key}" checked' in done.text
    done = judge.post_form("/adjudicate", example=example, answer=key, why="B is false")
    assert "The final label is kept" in done.text
    assert "1 disputed" in done.text
    (final,) = server.store.finals()
    assert (final.example, final.value, final.why) == (example, "first_model", "B is false")
    assert server.client("ann").get("/adjudicate").status_code == 403


def test_a_prefix_stands_before_every_address(serve: Serve) -> None:
    server = serve("choice", settings={"root_path": "/label", "https": True})
    browser: Browser = server.client()
    page = browser.see("/sign-in")
    assert re.findall(r'(?:href|action|src)="(?!/label/|#|https?:)([^"]*)"', page) == []
    cookie = browser.get("/sign-in").headers["set-cookie"]
    assert "Path=/label/" in cookie
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    assert COOKIE in cookie


DISPUTED: dict[str, tuple[Any, Any, str]] = {
    "choice": ("good", "bad", "likeliest bad"),
    "multi": (["red"], ["red", "blue"], "likeliest red"),
    "rating": (1, 5, "likeliest 1"),
    "pairwise": ("first_model", "tie", "likeliest A"),
    "preference": ([["answers_of.1"], ["answers_of.2", "answers_of.3"]], [["answers_of.2"], ["answers_of.1"],
                   ["answers_of.3"]], "likeliest A &gt; B = C"),
    "span": ([{"start": 0, "end": 3, "label": "name"}], [{"start": 0, "end": 3, "label": "place"}], "0–3 name"),
    "rewrite": ("Some", "Other", "likeliest "),
    "text": ("abc", "abcd", "likeliest abc"),
    "rubric": ({"clear": "no", "score": 1}, {"clear": "yes", "score": 3}, "likeliest no"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DISPUTED)
def test_a_dispute_of_every_kind_has_a_page_that_names_no_response(serve: Serve, kind: str) -> None:
    server = serve(kind, count=1)
    first, second, likeliest = DISPUTED[kind]
    for name, value in (("ann", first), ("bob", second)):
        rater = server.person(name)
        server.store.submit(rater, server.store.next_for(rater).id, value, "t")
    server.person("olga", "owner")
    server.store.aggregate("majority")
    page = server.client("olga").see("/adjudicate")
    assert "posterior 0.50, below 0.8" in page
    assert likeliest in page
    assert "first_model" not in page
    assert "answers_of.1" not in page


OPEN = ("/sign-in", "/sign-out", "/language", "/join/{token}", "/reset/{token}", "/api/sign-in", "/api/openapi.json")


def test_every_route_asks_who_is_there_and_whether_they_may(serve: Serve) -> None:
    """Also routes that somebody adds later: what is not named here needs an account, and a token to change anything."""
    server = serve("choice")
    server.person("ann")
    server.person("adam", "adjudicator")
    nobody, rater, adjudicator = server.client(), server.client("ann"), server.client("adam")
    seen = 0
    for method, path in _routes(server):
        if path not in OPEN:
            where = path.replace("{number}", "1").replace("{part}", "t").replace("{assignment}", "1")
            where = where.replace("{what}", "x")
            refused = nobody.request(method, where)
            assert refused.status_code in (303, 400, 401, 403, 422), (method, path, refused.status_code)
            if refused.status_code == 303:
                assert refused.headers["location"] in ("/sign-in", "/label"), (method, path)
            closed = [(rater, ("/owner", "/adjudicate")), (adjudicator, ("/owner",))]
            for client, folders in closed:
                if path.startswith(folders):
                    assert client.request(method, where).status_code == 403, (method, path)
            if method == "POST":
                form = {"content-type": "application/x-www-form-urlencoded"}
                sent = rater.request(method, where, content="", headers=form)
                assert sent.status_code in (403, 422), (path, sent.status_code)
            seen += 1
    assert seen > 30


def _routes(server: Server) -> list[tuple[str, str]]:
    from tamis.web.pages import accounts, adjudication, api, labelling, mine, owner, people
    from tamis.web.site import Site

    site = Site(server.store, server.task, server.settings)
    parts = (accounts, adjudication, api, labelling, mine, owner, people)
    routes: list[Any] = [route for one in parts for route in one.router(site).routes]
    return sorted((method, route.path) for route in routes for method in route.methods - {"HEAD"})


def test_the_wrong_address_for_a_bound_invitation_keeps_the_form(serve: Serve) -> None:
    server = serve("choice")
    token = server.store.invite("rater", None, "ann@example.org")
    browser = server.client()
    browser.see(f"/join/{token}")
    wrong = {"name": "Ann", "password": PASSWORD, "again": PASSWORD}
    done = browser.post_form(f"/join/{token}", email="other@example.org", **wrong)
    assert done.status_code == 422
    assert "for another e-mail address" in done.text
    assert browser.field("name") == "Ann"
    assert browser.post_form(f"/join/{token}", email="ann@example.org", **wrong).status_code == 303


def test_an_erased_rater_is_named_once(serve: Serve) -> None:
    server = serve("choice")
    owner, ann = server.person("own", "owner"), server.person("ann")
    server.store.erase(ann, owner)
    browser = server.client("own")
    erased = server.store.rater(ann)
    assert erased is not None
    shown = browser.see("/owner/raters")
    assert shown.count(erased.pseudonym) == 1
    assert "Gold verdict" in shown
    assert ">continue<" not in shown, "no verdict without gold"
    assert browser.see(f"/owner/raters/{ann}").count(f">{erased.pseudonym}<") == 1


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
