"""The client: retries, keys, errors, connections."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import time
import unittest
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from fake_server import BROKEN, FakeServer, Reply, Request, problem, reply, score, slow

from alft_client import (
    AlftError,
    ApiError,
    Client,
    ConnectionFailed,
    Failure,
    InvalidRequest,
    NotFound,
    PluginFailed,
    ProtocolError,
    Question,
    ServerFault,
    TimedOut,
    Unauthorized,
    Unavailable,
)

SUM = Question("1+1=", ["2", "3"], gold="2", id="q1")
BUSY = problem(503, "Service Unavailable", "the queue is full", Retry_After="7")


def client(server: FakeServer, **options: Any) -> Client:
    return Client(server.url, **{"backoff": 0.0, **options})


class Answers(unittest.TestCase):
    def test_a_score_has_the_entries_of_each_completion(self) -> None:
        with FakeServer() as server, client(server) as alft:
            (result,) = alft.score([Question("1+1=", ["2", "fail"], gold=2, metadata={"level": 1})], step=4)
            self.assertEqual(result.rewards, [1.0, None])
            self.assertEqual(result.scores["right"], [1.0, Failure("it gave up")])
            self.assertEqual(result.scores["length"], [1.0, None])
            self.assertEqual(result.failure(1), "plugin right failed: it gave up")
            self.assertIsNone(result.failure(0))
        request = server.requests[0]
        self.assertEqual((request.method, request.path), ("POST", "/v1/score"))
        self.assertEqual(
            request.json,
            {
                "questions": [{"prompt": "1+1=", "completions": ["2", "fail"], "gold": 2, "level": 1}],
                "step": 4,
            },
        )

    def test_results_are_those_of_their_questions_in_whatever_order_they_come(self) -> None:
        def reversed_score(request: Request) -> Reply:
            status, headers, body = score(request)
            assert isinstance(body, bytes)
            return reply(status, {"results": json.loads(body)["results"][::-1]})

        questions = [
            Question("1+1=", ["2", "3"], gold="2", id="q"),
            Question("2+2=", ["4"], gold="4"),
            Question("3+3=", ["7", "7", "7"], gold="6", id="1"),
        ]
        with FakeServer(reversed_score) as server, client(server) as alft:
            results = alft.score(questions)
        self.assertEqual([result.id for result in results], ["q", "2", "1"])
        self.assertEqual([result.rewards for result in results], [[1.0, 0.0], [1.0], [0.0, 0.0, 0.0]])

    def test_metadata_with_a_key_of_questions_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, 'metadata must not have the key "gold"'):
            Client().score([Question("p", ["c"], metadata={"gold": "1"})])

    def test_a_run_has_its_state(self) -> None:
        with FakeServer() as server, client(server) as alft:
            state = alft.run("a-run")
            self.assertEqual((state.run, state.steps, state.questions), ("a-run", 3, 2))
            self.assertEqual(state.multipliers, {"length": 0.5})

    def test_a_lone_surrogate_costs_no_request(self) -> None:
        with FakeServer() as server, client(server) as alft:
            alft.score([Question("\ud800?", ["a\udfff", "\U0001f600"])])
        self.assertEqual(server.requests[0].json["questions"][0]["prompt"], "\ufffd?")
        self.assertEqual(server.requests[0].json["questions"][0]["completions"], ["a\ufffd", "\U0001f600"])

    def test_answers_that_are_not_those_of_the_questions_are_refused(self) -> None:
        good: dict[str, Any] = {
            "id": "q1",
            "answers": ["2", None],
            "scores": {"right": [1.0, None]},
            "rewards": [1.0, None],
            "advantages": [0.0, None],
        }
        cases: list[tuple[Any, str]] = [
            ({"results": []}, "results should be a list of 1"),
            ({"other": []}, 'key "results"'),
            ([1], 'key "results"'),
            ({"results": [{**good, "id": "q2"}]}, 'a result for the question "q1"'),
            ({"results": [{}]}, r'results\[0\] should be an object with the key "id"'),
            ({"results": [{**good, "rewards": [1.0]}]}, r"results\[0\].rewards should be a list of 2"),
            ({"results": [{**good, "rewards": [1.0, "1"]}]}, r"results\[0\].rewards\[1\] should be a finite number"),
            ({"results": [{**good, "rewards": [1.0, True]}]}, r"rewards\[1\] should be a finite number"),
            ({"results": [{**good, "scores": {"right": [1.0, {}]}}]}, r"scores.right\[1\] .* \"failure\""),
            ({"results": [{**good, "answers": [2, None]}]}, r"answers\[0\] should be a text"),
        ]
        for content, message in cases:
            with self.subTest(message), FakeServer(reply(200, content)) as server, client(server) as alft:
                with self.assertRaisesRegex(ProtocolError, message):
                    alft.score([SUM])
        raw = [(b"<html>", "no JSON"), (b'{"results": [NaN]}', "NaN is no number"), (b"[" * 100_000, "no JSON")]
        for body, message in raw:
            with self.subTest(message), FakeServer((200, {}, body)) as server, client(server) as alft:
                with self.assertRaisesRegex(ProtocolError, message):
                    alft.score([SUM])
                self.assertEqual(len(server.requests), 1)

    def test_questions_that_json_cannot_say_are_refused_before_they_are_sent(self) -> None:
        with FakeServer() as server, client(server) as alft:
            for metadata in ({"x": float("nan")}, {"x": object()}, {"x": "\ud800"}):
                with self.assertRaisesRegex(ValueError, "gold or metadata"):
                    alft.score([Question("p", ["c"], metadata=metadata)])
        self.assertEqual(server.requests, [])


class Retries(unittest.TestCase):
    def test_a_request_is_repeated_until_the_server_has_room(self) -> None:
        queued = [problem(429, "Too Many Requests", "full"), problem(500, "Internal Server Error", "oh"), BROKEN]
        with FakeServer(*queued) as server, client(server) as alft:
            self.assertEqual(alft.score([SUM])[0].rewards, [1.0, 0.0])
        self.assertEqual(len(server.requests), 4)

    def test_all_attempts_have_one_idempotency_key(self) -> None:
        with FakeServer(BUSY, BROKEN) as server, client(server) as alft, mock.patch("time.sleep"):
            alft.rewards("run", [SUM])
            alft.rewards("run", [SUM])
            alft.rewards("run", [SUM], idempotency_key="run-7")
        keys = [request.headers["idempotency-key"] for request in server.requests]
        self.assertEqual(len(set(keys[:3])), 1)
        self.assertEqual(len(set(keys)), 3)
        self.assertEqual(keys[4], "run-7")
        self.assertEqual({request.path for request in server.requests}, {"/v1/runs/run/rewards"})
        self.assertEqual({request.body for request in server.requests}, {server.requests[0].body})

    def test_a_wait_is_as_long_as_the_server_asks_for(self) -> None:
        date = problem(503, "Service Unavailable", "later", Retry_After="Thu, 01 Jan 1970 00:00:00 GMT")
        with FakeServer(BUSY, date) as server, client(server) as alft, mock.patch("time.sleep") as sleep:
            alft.score([SUM])
        self.assertEqual([call.args[0] for call in sleep.call_args_list], [7.0, 0.0])

    def test_waits_double_with_jitter(self) -> None:
        with (
            FakeServer(*[BROKEN] * 5) as server,
            client(server, backoff=1.0) as alft,
            mock.patch("time.sleep") as sleep,
        ):
            alft.score([SUM])
        waits = [call.args[0] for call in sleep.call_args_list]
        for attempt, wait in enumerate(waits):
            self.assertTrue(0.5 * 2**attempt <= wait <= 2**attempt, waits)

    def test_retries_are_bounded(self) -> None:
        with FakeServer(*[BUSY] * 9) as server, client(server, retries=2) as alft, mock.patch("time.sleep"):
            with self.assertRaises(Unavailable) as raised:
                alft.score([SUM])
        self.assertEqual(len(server.requests), 3)
        self.assertEqual(raised.exception.retry_after, 7.0)

    def test_a_longer_wait_than_allowed_is_an_error_at_once(self) -> None:
        with FakeServer(BUSY) as server, client(server, max_retry_after=5.0) as alft:
            with self.assertRaises(Unavailable):
                alft.score([SUM])
        self.assertEqual(len(server.requests), 1)

    def test_a_plugin_that_failed_is_not_asked_again_and_a_proxy_is(self) -> None:
        failed = problem(502, "Bad Gateway", "plugin right: it gave up")
        with FakeServer((502, {}, b"<html>"), failed) as server, client(server) as alft:
            with self.assertRaisesRegex(PluginFailed, "plugin right: it gave up"):
                alft.rewards("run", [SUM])
        self.assertEqual(len(server.requests), 2)

    def test_a_refused_connection_names_the_remedy(self) -> None:
        with FakeServer() as server:
            url = server.url
        with self.assertRaisesRegex(
            ConnectionFailed, r"no answer from .*refused \(2 attempts\); is `alft serve` running"
        ):
            Client(url, retries=1, backoff=0.0).score([SUM])


class Problems(unittest.TestCase):
    def test_each_status_has_its_exception_with_the_servers_words(self) -> None:
        cases: list[tuple[int, str, type[ApiError]]] = [
            (400, "Bad Request", InvalidRequest),
            (401, "Unauthorized", Unauthorized),
            (404, "Not Found", NotFound),
            (413, "Content Too Large", InvalidRequest),
            (422, "Unprocessable Content", InvalidRequest),
            (408, "Request Timeout", ServerFault),
            (429, "Too Many Requests", Unavailable),
            (502, "Bad Gateway", PluginFailed),
            (503, "Service Unavailable", Unavailable),
            (504, "Gateway Timeout", ServerFault),
        ]
        for status, title, kind in cases:
            answer = problem(status, title, "questions[0].prompt is empty")
            with self.subTest(status=status), FakeServer(answer) as server, client(server, retries=0) as alft:
                with self.assertRaises(kind) as raised:
                    alft.score([SUM])
                error = raised.exception
                self.assertIs(type(error), kind)
                self.assertIsInstance(error, AlftError)
                self.assertEqual((error.status, error.title, error.request_id), (status, title, "r-1"))
                self.assertIn(f"{status} {title}: questions[0].prompt is empty", str(error))
                self.assertIn("(request r-1)", str(error))

    def test_an_answer_without_a_problem_detail_is_an_error_too(self) -> None:
        bodies: list[Reply] = [
            (502, {"Content-Type": "text/html", "x-request-id": "r-2"}, b"<html>"),
            (502, {"Content-Type": "application/json", "x-request-id": "r-2"}, b"["),
            (502, {"Content-Type": "application/json", "x-request-id": "r-2"}, b'{"title": 3, "request_id": []}'),
        ]
        for body in bodies:
            with FakeServer(body) as server, client(server, retries=0) as alft:
                with self.assertRaisesRegex(ServerFault, r"502 Bad Gateway \(request r-2\)"):
                    alft.score([SUM])

    def test_a_redirect_is_not_followed(self) -> None:
        with FakeServer((307, {"Location": "http://127.0.0.1:1/"}, b"")) as server, client(server) as alft:
            with self.assertRaisesRegex(InvalidRequest, "307"):
                alft.score([SUM])
        self.assertEqual(len(server.requests), 1)

    def test_an_error_survives_pickling(self) -> None:
        error = Unavailable(503, "Service Unavailable", "full", "r-1", 2.0)
        again = pickle.loads(pickle.dumps(error))
        self.assertIs(type(again), Unavailable)
        self.assertEqual((str(again), again.retry_after), (str(error), 2.0))


class Tokens(unittest.TestCase):
    def test_the_token_is_sent_and_never_said(self) -> None:
        token = "s3cret-token"
        refused = problem(401, "Unauthorized", "the token is wrong")
        with FakeServer(refused) as server, client(server, token=token) as alft:
            with self.assertRaises(Unauthorized) as raised:
                alft.score([SUM])
            self.assertEqual(server.requests[0].headers["authorization"], f"Bearer {token}")
            self.assertIn("ALFT_TOKEN", str(raised.exception))
            for text in (str(raised.exception), repr(raised.exception), repr(alft), str(vars(raised.exception))):
                self.assertNotIn(token, text)
        with self.assertRaises(ConnectionFailed) as failed:
            Client(server.url, token=token, retries=0).score([SUM])
        self.assertNotIn(token, str(failed.exception))

    def test_a_token_that_is_no_header_is_refused_without_being_quoted(self) -> None:
        for token in ("s3cret\n", "s3cret token", "", "s3cret\u00fc"):
            with self.assertRaises(ValueError) as raised:
                Client(token=token)
            self.assertNotIn("s3cret", str(raised.exception))

    def test_an_address_with_a_password_is_refused_without_being_quoted(self) -> None:
        for url in ("http://user:s3cret@host", "ftp://s3cret", "s3cret", "http://host/?token=s3cret"):
            with self.assertRaises(ValueError) as raised:
                Client(url)
            self.assertNotIn("s3cret", str(raised.exception))

    def test_the_environment_has_address_and_token(self) -> None:
        with FakeServer() as server:
            with mock.patch.dict(os.environ, {"ALFT_URL": server.url, "ALFT_TOKEN": "from-environment"}):
                with Client.from_environment() as alft:
                    alft.score([SUM])
        self.assertEqual(server.requests[0].headers["authorization"], "Bearer from-environment")


class Names(unittest.TestCase):
    def test_names_that_are_no_part_of_a_path_are_refused(self) -> None:
        for run in ("", "a/b", "..", ".", "a b", ".hidden", "x" * 65, "é", "run\n"):
            with self.assertRaisesRegex(ValueError, "a run's name"):
                Client().rewards(run, [SUM])
        for key in ("", "a b", "x" * 129, "a\nb"):
            with self.assertRaisesRegex(ValueError, "idempotency_key"):
                Client().rewards("run", [SUM], idempotency_key=key)


class Connections(unittest.TestCase):
    def test_a_connection_is_kept(self) -> None:
        with FakeServer() as server, client(server) as alft:
            for _ in range(3):
                alft.score([SUM])
        self.assertEqual(len({request.connection for request in server.requests}), 1)

    def test_a_kept_connection_that_the_server_closed_is_no_failed_attempt(self) -> None:
        with FakeServer(score, BROKEN) as server, client(server, retries=0) as alft:
            alft.score([SUM])
            self.assertEqual(alft.score([SUM])[0].rewards, [1.0, 0.0])
        self.assertEqual(len(server.requests), 3)

    def test_an_answer_that_ends_too_early_is_no_answer(self) -> None:
        short: Reply = (200, {"Content-Length": "100", "Connection": "close"}, b'{"results": []}')
        with FakeServer(short) as server, client(server, retries=0) as alft:
            with self.assertRaises(ConnectionFailed):
                alft.score([SUM])

    def test_many_threads_share_a_client(self) -> None:
        with FakeServer() as server, client(server) as alft, ThreadPoolExecutor(8) as threads:
            questions = [Question("p", [str(i), "x"], gold=str(i), id=f"q{i}") for i in range(64)]
            results = list(threads.map(lambda question: alft.score([question])[0], questions))
        self.assertEqual([result.id for result in results], [f"q{i}" for i in range(64)])
        self.assertEqual({tuple(result.rewards) for result in results}, {(1.0, 0.0)})

    def test_a_forked_process_has_connections_of_its_own(self) -> None:
        with FakeServer() as server, client(server) as alft:
            alft.score([SUM])
            child = multiprocessing.get_context("fork").Process(target=alft.score, args=([SUM],))
            child.start()
            child.join()
            alft.score([SUM])
        self.assertEqual(child.exitcode, 0)
        ports = [request.connection for request in server.requests]
        self.assertEqual(len(ports), 3)
        self.assertNotEqual(ports[0], ports[1])
        self.assertEqual(ports[0], ports[2])

    def test_a_server_that_is_slow_ends_in_time(self) -> None:
        with FakeServer(slow(5.0)) as server, client(server, timeout=0.1, retries=0) as alft:
            with self.assertRaisesRegex(TimedOut, r"within 0.1 seconds \(1 attempts\)"):
                alft.score([SUM])

    def test_a_server_that_sends_byte_by_byte_ends_in_time(self) -> None:
        def drip() -> Iterator[bytes]:
            # Each byte comes long before the timeout of one operation, and all together long after it.
            for _ in range(100):
                time.sleep(0.05)
                yield b" "

        with FakeServer((200, {"Content-Length": "100"}, drip())) as server:
            with client(server, timeout=0.3, retries=0) as alft, self.assertRaises(TimedOut):
                alft.score([SUM])

    def test_a_client_waits_until_the_server_is_ready(self) -> None:
        with FakeServer((503, {}, b""), BROKEN) as server, client(server) as alft:
            alft.wait_until_ready(5.0)
            self.assertEqual([request.path for request in server.requests], ["/readyz"] * 3)
        with self.assertRaisesRegex(TimedOut, "was not ready within 0 seconds"):
            Client(server.url).wait_until_ready(0.0)


if __name__ == "__main__":
    unittest.main()
