"""`Client`: one method for each route of `alft serve`, with bounded retries."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NoReturn

from .errors import (
    AlftError,
    ApiError,
    ConnectionFailed,
    ProtocolError,
    ServerFault,
    TimedOut,
    Unavailable,
    for_status,
)
from .records import Question, Result, RunState, parse_results, parse_run
from .retry import Retry, parse_retry_after
from .transport import Response, Transport

DEFAULT_URL = "http://127.0.0.1:8765"

_RUN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


class Client:
    """A client of `alft serve`. It may be used from many threads at once.

    Every request is repeated, up to `retries` times, where the connection broke, the server had no room (429, 503,
    waiting as long as `Retry-After` says) or failed (5xx). That is safe: a score changes nothing, and a request that
    moves targets has an idempotency key, so the server makes the move once.

    `timeout` is for one attempt, in seconds, from connecting to the last byte of the answer. It is longer than the
    server's own deadline, so that a late answer is the server's 504 with its reason.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        timeout: float = 180.0,
        retries: int = 6,
        backoff: float = 0.5,
        max_retry_after: float = 300.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if token is not None and not _VISIBLE.fullmatch(token):
            # http.client would refuse such a header, and quote the token.
            raise ValueError("the token must be visible ASCII characters without spaces or line ends")
        if retries < 0 or backoff < 0:
            raise ValueError("retries and backoff must be 0 or more")
        self._token = token
        self._transport = Transport(url, timeout, context)
        self._retry = Retry(retries=retries, backoff=backoff, max_retry_after=max_retry_after)

    @classmethod
    def from_environment(cls, url: str | None = None, **options: Any) -> Client:
        """Returns a client of the server at `url` or ALFT_URL, with the token in ALFT_TOKEN."""
        return cls(
            url or os.environ.get("ALFT_URL") or DEFAULT_URL, token=os.environ.get("ALFT_TOKEN") or None, **options
        )

    def __repr__(self) -> str:
        return f"Client({self._transport.name!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the idle connections."""
        self._transport.close()

    def score(self, questions: Sequence[Question], *, step: int | None = None) -> list[Result]:
        """Returns the results of questions, in their order. Nothing is remembered."""
        return parse_results(self._call("POST", "/v1/score", _body(questions, step)), questions)

    def rewards(
        self,
        run: str,
        questions: Sequence[Question],
        *,
        step: int | None = None,
        idempotency_key: str | None = None,
    ) -> list[Result]:
        """Returns the results of questions as a step of a run, whose targets move.

        All attempts have one idempotency key, which is made up if none is given: a retry moves no target twice. A
        program that may die between the request and its answer gives a key that it finds again, such as
        `f"{run}-{step}"`.
        """
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
        if len(key) > 128 or not _VISIBLE.fullmatch(key):
            raise ValueError("idempotency_key must be 1 to 128 visible ASCII characters")
        path = f"/v1/runs/{_run(run)}/rewards"
        answer = self._call("POST", path, _body(questions, step), {"Idempotency-Key": key})
        return parse_results(answer, questions)

    def run(self, run: str) -> RunState:
        """Returns the state of a run. Fails with `NotFound` if the server does not know the run."""
        return parse_run(self._call("GET", f"/v1/runs/{_run(run)}"))

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Waits until the server answers that it is ready, which takes a while where it builds plugins."""
        ends = time.monotonic() + seconds
        while True:
            try:
                if self._send("GET", "/readyz", {}, None).status == 200:
                    return
                reason = "it is not ready"
            except (ConnectionFailed, TimedOut) as error:
                reason = str(error)
            if time.monotonic() > ends:
                raise TimedOut(f"{self._transport.name} was not ready within {seconds:g} seconds: {reason}")
            time.sleep(0.1)

    def _call(self, method: str, path: str, content: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Sends a request until it has an answer. Returns the answer's JSON."""
        body = None if content is None else _encode(content)
        attempt = 0
        while True:
            failure: AlftError
            retry_after = None
            try:
                response = self._send(method, path, headers or {}, body)
                if response.status == 200:
                    return _decode(response.body)
                failure = _problem(response)
                retry_after = failure.retry_after
                if not isinstance(failure, Unavailable | ServerFault):
                    raise failure
            except (ConnectionFailed, TimedOut) as error:
                failure = error
            wait = self._retry.wait(attempt, retry_after)
            if wait is None:
                _give_up(failure, attempt + 1)
            time.sleep(wait)
            attempt += 1

    def _send(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Response:
        headers = {"Accept": "application/json", "User-Agent": "alft-client", **headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return self._transport.request(method, path, headers, body)


def _run(run: str) -> str:
    if not _RUN.fullmatch(run):
        raise ValueError(
            f"a run's name must be 1 to 64 letters, digits, '-', '_' and '.', and no '.' first, not {run!r}"
        )
    return run


def _body(questions: Sequence[Question], step: int | None) -> dict[str, Any]:
    body: dict[str, Any] = {"questions": [question.to_json() for question in questions]}
    if step is not None:
        body["step"] = step
    return body


def _encode(content: Any) -> bytes:
    try:
        # Not ASCII alone: a lone surrogate in metadata is an error here, and not one of the server.
        return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"a question's gold or metadata cannot be said in JSON: {error}") from error


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the answer is no JSON ({error}); is this the address of `alft serve`?") from error


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _problem(response: Response) -> ApiError:
    """Returns the error that a problem detail describes, or what can be said of an answer without one."""
    title: Any = None
    detail: Any = None
    request_id: Any = None
    if response.headers.get_content_type() in ("application/problem+json", "application/json"):
        try:
            problem = json.loads(response.body)
        except (ValueError, RecursionError):
            problem = None
        if isinstance(problem, dict):
            title, detail, request_id = (problem.get(key) for key in ("title", "detail", "request_id"))
    return for_status(response.status, isinstance(detail, str))(
        response.status,
        title if isinstance(title, str) else response.reason,
        detail if isinstance(detail, str) else None,
        request_id if isinstance(request_id, str) else response.headers.get("x-request-id"),
        parse_retry_after(response.headers.get("Retry-After")),
    )


def _give_up(failure: AlftError, attempts: int) -> NoReturn:
    if isinstance(failure, ConnectionFailed | TimedOut):
        remedy = "is `alft serve` running, and is this its address?"
        raise type(failure)(f"{failure} ({attempts} attempts); {remedy}") from failure.__cause__
    raise failure
