"""A stub of an OpenAI-compatible endpoint, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, str], str]]


class Stub:
    """`answer(request body) -> (status, headers, text)`; text of status 200 is what the model says."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Answer = lambda body: (200, {}, '{"answer": "x"}')
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.requests.append(body)
                stub.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, text = stub.answer(body)
                if status == 0:  # the connection breaks
                    self.close_connection = True
                    return
                out = text
                if status == 200 and self.path == "/v1/chat/completions" and not headers.get("x-raw"):
                    usage = {"prompt_tokens": 10, "completion_tokens": 5}
                    out = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage})
                data = out.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()
    yield made
    made.server.shutdown()
    made.server.server_close()
