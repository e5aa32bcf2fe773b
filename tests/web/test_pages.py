"""Pages of accounts, owners and adjudicators, without a script."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tamis.web.security import COOKIE
from web.serving import PASSWORD, Browser, Server

Serve = Callable[..., Server]


def test_somebody_stopped_sees_why(serve: Serve) -> None:
    server = serve("choice")
    owner, ann = server.person("own", "owner"), server.person("ann")
    server.store.block(ann, owner, "spam")
    browser = server.client("ann")
    assert "stopped" in browser.see("/label")


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
