from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tamis.people.judges import Client, Endpoint, EndpointError, local

ASKED = [{"role": "user", "content": "?"}]


def test_one_answer(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    with Client(Endpoint(stub.url, "m", key="MY_KEY", max_tokens=7)) as client:
        reply = client.ask(ASKED)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ('{"answer": "x"}', 10, 5)
    assert stub.requests == [{"model": "m", "messages": ASKED, "temperature": 0.0, "max_tokens": 7}]
    assert stub.headers[0]["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("status", [429, 500, 503, 0])
def test_what_passes_is_asked_again(stub: Any, status: int) -> None:
    left = [status, status]
    stub.answer = lambda body: (left.pop(), {}, "busy") if left else (200, {}, "done")
    waits: list[float] = []
    with Client(Endpoint(stub.url, "m", backoff=2.0), sleep=waits.append) as client:
        assert client.ask(ASKED).text == "done"
        assert client.retried == 2
    assert len(stub.requests) == 3
    assert 1 <= waits[0] <= 2
    assert 2 <= waits[1] <= 4


def test_the_server_says_how_long_to_wait(stub: Any) -> None:
    left = ["7", "100000", "soon"]
    stub.answer = lambda body: (429, {"retry-after": left.pop(0)}, "") if left else (200, {}, "done")
    waits: list[float] = []
    with Client(Endpoint(stub.url, "m", backoff=0.0), sleep=waits.append) as client:
        client.ask(ASKED)
    assert waits == [7, 60, 0]


def test_slow_answers_time_out(stub: Any) -> None:
    def slow(body: Any) -> tuple[int, dict[str, str], str]:
        time.sleep(0.5)
        return 200, {}, "late"

    stub.answer = slow
    with (
        Client(Endpoint(stub.url, "m", timeout=0.05, retries=1), sleep=lambda _: None) as client,
        pytest.raises(EndpointError, match=r"2 tries; the last: ReadTimeout"),
    ):
        client.ask(ASKED)
    with (
        Client(Endpoint(stub.url, "m", timeout=0.05, retries=0), sleep=lambda _: None) as client,
        pytest.raises(EndpointError, match=r"did not answer in one try; the last: ReadTimeout"),
    ):
        client.ask(ASKED)


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "environment variable NO_SUCH_KEY, which is not set"), (404, "model's name"), (400, "400")],
)
def test_what_does_not_pass_is_not_asked_again(stub: Any, status: int, message: str) -> None:
    stub.answer = lambda body: (status, {}, "no")
    with Client(Endpoint(stub.url, "m", key="NO_SUCH_KEY")) as client, pytest.raises(EndpointError, match=message):
        client.ask(ASKED)
    assert len(stub.requests) == 1


def test_other_protocols_and_redirects_are_refused(stub: Any) -> None:
    stub.answer = lambda body: (200, {"x-raw": "1"}, '{"text": "hello"}')
    with Client(Endpoint(stub.url, "m")) as client:
        with pytest.raises(EndpointError, match="does not speak"):
            client.ask(ASKED)
        stub.answer = lambda body: (307, {"location": "http://127.0.0.1:9/elsewhere"}, "")
        with pytest.raises(EndpointError, match="307"):
            client.ask(ASKED)
    with pytest.raises(EndpointError, match="give a URL"):
        Client(Endpoint("file:///etc", "m"))


def test_the_rate_is_limited(stub: Any) -> None:
    waits: list[float] = []
    with Client(Endpoint(stub.url, "m", per_minute=60), sleep=waits.append) as client:
        for _ in range(4):
            client.ask(ASKED)
    assert len(waits) == 3
    assert sum(waits) > 3  # 1, 2 and 3 seconds less what the requests took, as nothing really slept


def test_a_local_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def pipeline(task: str, model: str) -> Any:
        return lambda messages, **how: [{"generated_text": f"{task} {model} {len(messages)} {how['max_new_tokens']}"}]

    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(pipeline=pipeline))
    assert local("tiny", 9)(ASKED).text == "text-generation tiny 1 9"
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EndpointError, match="pip install transformers"):
        local("tiny")
