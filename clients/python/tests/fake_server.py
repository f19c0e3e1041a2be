"""A server that answers like `alft serve`, or with whatever a test queues."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

# Reads a request and returns status, headers and body.
Reply = tuple[int, dict[str, str], bytes | Iterator[bytes]]
Answer = Callable[["Request"], Reply]


class Request:
    """A request as the server saw it."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes, connection: int) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        # The client's port: equal for requests on one connection.
        self.connection = connection

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def score(request: Request) -> Reply:
    """Scores 1 for a completion that is the gold answer; one that says "fail" is a failure of the plugin."""
    if request.method == "GET":
        if request.path == "/readyz":
            return 200, {}, b"{}"
        run = request.path.rpartition("/")[2]
        return reply(200, {"run": run, "steps": 3, "questions": 2, "multipliers": {"length": 0.5}})
    results = []
    for place, question in enumerate(request.json["questions"], start=1):
        texts = question["completions"]
        failed = {"failure": "it gave up"}
        rewards = [None if text == "fail" else float(text == str(question.get("gold"))) for text in texts]
        results.append(
            {
                "id": question.get("id", str(place)),
                "answers": texts,
                "scores": {
                    "right": [failed if reward is None else reward for reward in rewards],
                    "length": [
                        None if reward is None else float(len(t)) for t, reward in zip(texts, rewards, strict=True)
                    ],
                },
                "rewards": rewards,
                "advantages": rewards,
            }
        )
    return reply(200, {"results": results})


def reply(status: int, content: Any, kind: str = "application/json", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": kind, **named}, json.dumps(content).encode()


def problem(status: int, title: str, detail: str, **headers: str) -> Reply:
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, "request_id": "r-1"}
    return reply(status, content, "application/problem+json", **headers)


class FakeServer:
    """Answers the requests by the queued answers in turn, and then by `score`."""

    def __init__(self, *queued: Reply | Answer) -> None:
        self.queued: list[Reply | Answer] = list(queued)
        self.requests: list[Request] = []
        lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(
                    self.command,
                    self.path,
                    {name.lower(): value for name, value in self.headers.items()},
                    body,
                    self.client_address[1],
                )
                with lock:
                    fake.requests.append(request)
                    planned = fake.queued.pop(0) if fake.queued else score
                status, headers, content = planned if isinstance(planned, tuple) else planned(request)
                if status == 0:
                    # The connection breaks without an answer.
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                parts = iter([content]) if isinstance(content, bytes) else content
                if isinstance(content, bytes) and "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    for part in parts:
                        self.wfile.write(part)

            do_GET = answer
            do_POST = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.01), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


BROKEN: Reply = (0, {}, b"")


def slow(seconds: float) -> Answer:
    def answer(request: Request) -> Reply:
        time.sleep(seconds)
        return score(request)

    return answer
