"""The JSON API: what programs do, and what hostile requests may not."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tamis.web.app import create_app
from web.serving import PASSWORD, Browser, Server

Serve = Callable[..., Server]


def signed_in(server: Server, name: str) -> tuple[Browser, dict[str, str]]:
    client = server.client()
    said = client.post("/api/sign-in", json={"email": f"{name}@example.org", "password": PASSWORD})
    assert said.status_code == 200, said.text
    return client, {"X-CSRF-Token": said.json()["token"]}


def test_a_program_labels_to_the_end_and_learns_no_names(serve: Serve) -> None:
    server = serve("pairwise", count=3)
    server.person("ann")
    client, token = signed_in(server, "ann")
    given = client.get("/api/next").json()
    for n in range(3):
        assert "first_model" not in json.dumps(given)
        assert "secret-id" not in json.dumps(given)
        body = {"assignment": given["assignment"], "token": f"t{n}", "value": given["responses"][0]["key"]}
        said = client.post("/api/submit", json=body, headers=token)
        assert said.status_code == 200, said.text
        assert client.post("/api/submit", json=body, headers=token).json()["status"] == "again"
        given = said.json()["next"]
    assert given["status"] == "finished"
    assert all(one.value == one.shown[0] for one in server.store.answers())
    back = client.post("/api/undo", headers=token).json()
    assert back["previous"] == back["responses"][0]["key"]
    said = client.post(
        "/api/skip", json={"assignment": back["assignment"], "token": "s", "reason": "unclear"}, headers=token
    )
    assert said.json()["status"] == "accepted"
    assert client.get("/api/progress").json()["done"] == 2
    assert client.get("/api/task").json()["kind"] == "pairwise"


def test_what_is_wrong_is_said_with_a_status(serve: Serve) -> None:
    server = serve("choice")
    server.person("ann")
    client, token = signed_in(server, "ann")
    given = client.get("/api/next").json()
    good = {"assignment": given["assignment"], "token": "t", "value": "good"}
    assert client.post("/api/submit", json=good).status_code == 403
    assert client.post("/api/submit", json=good, headers={"X-CSRF-Token": "wrong"}).status_code == 403
    elsewhere = {**token, "sec-fetch-site": "cross-site"}
    assert client.post("/api/submit", json=good, headers=elsewhere).status_code == 403
    assert client.post("/api/submit", json=good, headers={**token, "origin": "https://evil.example"}).status_code == 403
    assert server.client().post("/api/submit", json=good, headers=token).status_code == 401
    assert server.client().get("/api/next").json()["code"] == "signed-out"
    for value in ("other", None, 3, [], {"a": 1}, "\0", "\ud800", [[[[[[[[[[[]]]]]]]]]]]):
        data = json.dumps({**good, "value": value})
        headers = {**token, "content-type": "application/json"}
        assert client.post("/api/submit", content=data, headers=headers).status_code == 422, value
    for assignment in ("", "x", "99999999999999999999", "-1", "1e3"):
        said = client.post("/api/submit", json={**good, "assignment": assignment}, headers=token)
        assert said.status_code in (404, 409)
    said = client.post("/api/submit", content=b"{", headers={**token, "content-type": "application/json"})
    assert said.status_code == 422
    assert client.post("/api/submit", data={"a": "b"}, headers=token).status_code == 422
    assert client.post("/api/nothing", headers=token).status_code == 404
    assert client.get("/api/submit").status_code == 405
    huge = client.post("/api/submit", content=b"x" * 17_000_000, headers=token)
    assert huge.status_code == 413
    streamed = client.post("/api/submit", content=(b"x" * 1_000_000 for _ in range(17)), headers=token)
    assert streamed.status_code in (400, 413)
    assert client.post("/api/submit", json=good, headers=token).json()["status"] == "accepted"


def test_no_request_makes_the_server_fail(serve: Serve, require: Callable[[object, str], None]) -> None:
    """Schemathesis over the OpenAPI document, signed in and not, with a fixed seed and in bounded time."""
    require(find_spec("schemathesis"), "schemathesis is not installed: pip install 'tamis[dev]'")
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from schemathesis.checks import not_a_server_error

    server = serve("pairwise", count=50, lease=5)
    server.person("ann")
    client, token = signed_in(server, "ann")
    cookies = dict(client.cookies)
    app = create_app(server.store, server.task, server.settings)
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app)
    assert client.get("/api/openapi.json").json()["openapi"].startswith("3.")
    tried = []
    for operation in (found.ok() for found in schema.get_all_operations()):

        @seed(7)
        @settings(
            max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def never_fails(case: Any) -> None:
            for headers, jar in (({}, {}), (token, cookies)):
                response = case.call(headers=headers, cookies=jar)
                case.validate_response(response, checks=[not_a_server_error])

        never_fails()
        tried.append(operation.label)
    assert len(tried) == 8
    assert server.store.verify().ok


@pytest.mark.parametrize("path", ["/", "/label", "/me", "/owner", "/owner/pay.csv", "/adjudicate", "/label/text/1/c0"])
def test_pages_send_who_is_signed_out_to_the_door(serve: Serve, path: str) -> None:
    found = serve("choice").client().get(path)
    assert (found.status_code, found.headers["location"]) == (303, "/sign-in")


def test_every_answer_carries_the_security_headers(serve: Serve) -> None:
    server = serve("choice")
    server.person("ann")
    client = server.client("ann")
    for path in ("/label", "/static/style.css", "/nothing", "/api/next", "/api/nothing", "/owner", "/me"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store" or path.startswith("/static")
    page = client.see("/label")
    assert "style=" not in page
    assert " on" not in "".join(part.split(">")[0] for part in page.split("<")).replace(" one", "")
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


def test_forms_need_their_token(serve: Serve) -> None:
    server = serve("choice")
    server.person("own", "owner")
    client = server.client("own")
    client.see("/owner/people")
    owner = f"/owner/raters/{server.raters['own']}"
    paths = ["/sign-out", "/language", "/label/answer", "/label/undo", "/owner/people", "/owner/guideline", owner]
    for path in (*paths, "/adjudicate", "/owner/journal", "/me/everywhere"):
        assert client.post(path, data={"csrf": "0" * 64}).status_code == 403, path
        assert client.post(path, data={}).status_code in (400, 403), path
        plain = client.post(path, content=b"csrf=%ff%00", headers={"content-type": "text/plain"})
        assert plain.status_code == 400, path
        fields = {"csrf": client.token, "role": "owner", "text": "x", "action": "save"}
        assert client.post(path, data=fields, headers={"origin": "https://evil.example"}).status_code == 403, path
    assert server.client("own").get("/me").status_code == 200


def test_a_cookie_cannot_be_made_or_kept(serve: Serve) -> None:
    server = serve("choice")
    ann = server.person("ann")
    client = server.client("ann")
    cookie = client.cookies["tamis_session"]
    forged = server.client()
    for value in (cookie[:-2] + "AA", "x", "", "e30.e30.e30", cookie.replace(".", "", 1)):
        forged.cookies.set("tamis_session", value)
        assert forged.get("/me").status_code == 303
        forged.cookies.clear()
    server.store.sign_out_everywhere(ann)
    assert client.get("/me").status_code == 303


def test_guessing_passwords_is_slowed_down(serve: Serve) -> None:
    server = serve("choice")
    server.person("ann")
    client = server.client()
    client.see("/sign-in")
    seen = [client.post_form("/sign-in", name="ann@example.org", password=f"guess {n}").status_code for n in range(10)]
    assert seen[0] == 401
    assert seen[-1] == 429
    said = client.post("/api/sign-in", json={"email": "ann@example.org", "password": PASSWORD})
    assert said.status_code == 429
    assert int(said.headers["retry-after"]) > 0


def test_no_figure_tells_gold_from_work(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Totals that fall with work alone, or a name of an example, would."""
    monkeypatch.setattr("tamis.web.pages.labelling.TOTALS_SECONDS", -1.0)
    gold = tmp_path / "gold.jsonl"
    lines = [{"key": f"secret-gold-{n}", "text": "Gold", "answer": "good"} for n in range(30)]
    gold.write_text("\n".join(map(json.dumps, lines)))
    server = serve(
        "choice",
        rows=[{"key": f"secret-work-{n}", "text": f"Work {n}"} for n in range(25)],
        examples={"path": "rows.jsonl", "id": "key"},
        gold={"path": str(gold), "share": 0.4},
        overlap=1,
    )
    server.person("ann")
    client, token = signed_in(server, "ann")
    given = client.get("/api/next").json()
    totals: dict[str, set[tuple[int, int]]] = {"Gold": set(), "Work": set()}
    for n in range(9):
        assert "secret" not in json.dumps(given)
        assert set(given["show"]) == {"text"}
        kind = given["show"]["text"][:4]
        body = {"assignment": given["assignment"], "token": f"t{n}", "value": "good"}
        given = client.post("/api/submit", json=body, headers=token).json()["next"]
        said = client.get("/api/progress").json()
        totals[kind].add((said["wanted"], said["closed"]))
    assert server.store.progress().wanted < 25
    assert all(wanted % 10 == closed % 10 == 0 for seen in totals.values() for wanted, closed in seen)
    assert "secret" not in client.see("/label")


def test_no_other_site_signs_a_browser_in(serve: Serve) -> None:
    server = serve("choice")
    server.person("ann")
    body = {"email": "ann@example.org", "password": PASSWORD}
    client = server.client()
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/api/sign-in", json=body, headers=headers).status_code == 403
    assert client.post("/api/sign-in", json=body, headers={"sec-fetch-site": "same-origin"}).status_code == 200
