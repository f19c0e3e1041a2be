"""The reward function for TRL, called as its trainer does."""

from __future__ import annotations

import inspect
import unittest
from types import SimpleNamespace
from typing import Any

from fake_server import FakeServer

from alft_client import AsyncClient, Client, TornGroup
from alft_client.trl import async_reward_function, reward_function


class Trl(unittest.TestCase):
    def test_neighbouring_rows_of_a_prompt_are_one_question(self) -> None:
        logged: dict[str, float] = {}
        with FakeServer() as server, Client(server.url) as alft:
            reward = reward_function(alft, run="a-run")
            with self.assertLogs("alft_client.trl") as warned:
                rewards = reward(
                    prompts=["1+1=", "1+1=", "2+2=", "2+2="],
                    completions=["2", "3", "4", "fail"],
                    completion_ids=[[1], [2], [3], [4]],
                    answer=["2", "2", "4", "4"],
                    other=[1, 2, 3, 4],
                    trainer_state=SimpleNamespace(global_step=5),
                    log_metric=lambda name, value: logged.update({name: value}),
                    log_extra=lambda name, values: None,
                )
        self.assertIn("1 of 4 samples have no reward: plugin right failed: it gave up", warned.output[0])
        self.assertEqual(rewards, [1.0, 0.0, 1.0, None])
        request = server.requests[0]
        self.assertEqual(request.path, "/v1/runs/a-run/rewards")
        questions = request.json["questions"]
        self.assertEqual(request.json["step"], 5)
        self.assertEqual([question["completions"] for question in questions], [["2", "3"], ["4", "fail"]])
        self.assertEqual([question["gold"] for question in questions], ["2", "4"])
        self.assertEqual(len({question["id"] for question in questions}), 2)
        self.assertEqual(logged, {"alft/right": 2 / 3, "alft/length": 1.0, "alft/without_reward": 0.25})
        self.assertEqual(reward.__name__, "alft")

    def test_a_question_has_the_same_name_in_every_step(self) -> None:
        with FakeServer() as server, Client(server.url) as alft:
            for prompts in (["a", "a", "b", "b"], ["b", "b", "c", "c"]):
                reward_function(alft, gold=None)(prompts, ["1"] * 4)
        first, second = (request.json["questions"] for request in server.requests)
        self.assertEqual(first[1]["id"], second[0]["id"])
        self.assertEqual({request.path for request in server.requests}, {"/v1/score"})
        self.assertNotIn("gold", first[0])

    def test_conversations_are_read_as_plugins_see_them(self) -> None:
        prompt = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "1+1?"}]},
        ]
        completion = [
            {"role": "assistant", "content": "let me see"},
            {"role": "tool", "content": "2"},
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": "it is 2"},
        ]
        with FakeServer() as server, Client(server.url) as alft:
            reward_function(alft)([prompt, prompt], [completion, completion], answer=["2", "2"])
        (question,) = server.requests[0].json["questions"]
        self.assertEqual(question["prompt"], "1+1?")
        self.assertEqual(question["completions"], ["let me see\nit is 2"] * 2)
        self.assertEqual(
            question["messages"],
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}],
        )

    def test_torn_groups_are_refused_with_the_remedy(self) -> None:
        cases: list[tuple[list[str], int | None, str]] = [
            (["a", "a", "a", "b"], None, "rows 3 to 3 are one question with 1 samples, where other questions have 3"),
            (["a", "b", "a", "b"], None, "not in neighbouring rows"),
            (["a", "a", "b", "b"], 4, "rows 0 to 1 are one question with 2 samples, not 4"),
        ]
        with FakeServer() as server, Client(server.url) as alft:
            for prompts, size, message in cases:
                with self.subTest(prompts=prompts), self.assertRaisesRegex(TornGroup, message) as raised:
                    reward_function(alft, gold=None, num_generations=size)(prompts, ["1"] * 4)
                self.assertIn("per_device_train_batch_size", str(raised.exception))
        self.assertEqual(server.requests, [])

    def test_equal_neighbours_are_two_questions_where_the_size_is_known(self) -> None:
        with FakeServer() as server, Client(server.url) as alft:
            reward_function(alft, gold=None, num_generations=2)(["a"] * 4 + ["b"] * 2, ["1"] * 6)
            reward_function(alft)(["a"] * 4, ["1"] * 4, answer=["1", "1", "2", "2"])
        first, second = (request.json["questions"] for request in server.requests)
        self.assertEqual([len(question["completions"]) for question in first], [2, 2, 2])
        self.assertEqual(first[1]["id"], first[0]["id"] + "#2")
        self.assertEqual([question["gold"] for question in second], ["1", "2"])

    def test_columns_are_named(self) -> None:
        with FakeServer() as server, Client(server.url) as alft:
            reward_function(alft, gold="solution", id="key", bundle="of", metadata=["tests"], name="sandboxed")(
                ["a", "a"], ["1", "2"], solution=[["x"], ["x"]], key=[7, 7], of=["o", "o"], tests=[{"t": 1}, {"t": 1}]
            )
        self.assertEqual(
            server.requests[0].json["questions"],
            [
                {
                    "prompt": "a",
                    "completions": ["1", "2"],
                    "gold": '["x"]',
                    "id": "7",
                    "bundle": "o",
                    "tests": {"t": 1},
                }
            ],
        )

    def test_a_missing_column_is_named_with_those_that_there_are(self) -> None:
        with self.assertRaisesRegex(ValueError, 'no column "answer" .it has: level, solution.*gold='):
            reward_function(Client())(["a"], ["1"], solution=["1"], level=[1])

    def test_the_asynchronous_function_gives_the_same(self) -> None:
        import asyncio

        async def ask(url: str, run: str | None) -> list[float | None]:
            async with AsyncClient(url) as alft:
                reward = async_reward_function(alft, run=run)
                self.assertTrue(inspect.iscoroutinefunction(reward))
                return await reward(prompts=["a", "a"], completions=["1", "2"], answer=["1", "1"])

        with FakeServer() as server:
            for run in (None, "run"):
                self.assertEqual(asyncio.run(ask(server.url, run)), [1.0, 0.0])
        self.assertEqual([request.path for request in server.requests], ["/v1/score", "/v1/runs/run/rewards"])


class Signature(unittest.TestCase):
    def test_an_unknown_step_is_left_out(self) -> None:
        for extra in ({}, {"trainer_state": None}, {"trainer_state": SimpleNamespace(global_step="x")}):
            with FakeServer() as server, Client(server.url) as alft:
                arguments: dict[str, Any] = {"prompts": ["a"], "completions": ["1"], **extra}
                reward_function(alft, gold=None)(**arguments)
            self.assertNotIn("step", server.requests[0].json)


if __name__ == "__main__":
    unittest.main()
