"""The reward functions for verl, called as its reward managers do."""

from __future__ import annotations

import math
import os
import unittest
from typing import Any
from unittest import mock

from fake_server import FakeServer, Reply, Request, reply

from alft_client import ProtocolError, SampleFailed, TornGroup, verl
from alft_client.verl import compute_score, compute_score_batch


class Array:
    """Stands for a NumPy array or scalar."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values


class Verl(unittest.TestCase):
    def tearDown(self) -> None:
        for client in verl._clients.values():
            client.close()
        verl._clients.clear()

    def test_a_sample_has_its_score_and_those_of_the_plugins(self) -> None:
        info = {"question": "1+1?", "index": 3, "split": "train", "tests": Array([1, 2]), "num_turns": None}
        with FakeServer() as server:
            scores = compute_score(
                data_source="sums",
                solution_str="2",
                ground_truth="2",
                extra_info=info,
                url=server.url,
                metadata=["tests"],
                reward_router_address=None,
            )
        self.assertEqual(scores, {"score": 1.0, "right": 1.0, "length": 1.0, "failed": 0.0})
        self.assertEqual(server.requests[0].path, "/v1/score")
        self.assertEqual(
            server.requests[0].json,
            {
                "questions": [
                    {
                        "prompt": "1+1?",
                        "completions": ["2"],
                        "gold": "2",
                        "tests": [1, 2],
                        "data_source": "sums",
                    }
                ]
            },
        )

    def test_the_address_may_be_in_the_environment(self) -> None:
        with FakeServer() as server, mock.patch.dict(os.environ, {"ALFT_URL": server.url}):
            self.assertEqual(compute_score("sums", "2", 2)["score"], 1.0)

    def test_a_failure_is_no_number_unless_the_user_says_which(self) -> None:
        with FakeServer() as server:
            with self.assertRaisesRegex(SampleFailed, "plugin right failed: it gave up; .*failure_score"):
                compute_score("sums", "fail", "2", url=server.url)
            scores = compute_score("sums", "fail", "2", url=server.url, failure_score=-1.0)
        self.assertEqual((scores["score"], scores["failed"]), (-1.0, 1.0))
        self.assertTrue(math.isnan(scores["right"]))
        # verl takes the keys of the first sample for all.
        self.assertEqual(list(scores), ["score", "right", "length", "failed"])

    def test_a_batch_has_whole_groups(self) -> None:
        infos = [{"index": 0}, {"index": 0}, {"index": 1}, {"index": 1}]
        with FakeServer() as server:
            scores = compute_score_batch(
                data_sources=["sums"] * 4,
                solution_strs=["2", "3", "2", "2"],
                ground_truths=["2"] * 4,
                extra_infos=infos,
                url=server.url,
                run="run",
                group=2,
            )
            with self.assertRaisesRegex(TornGroup, "rollout.n"):
                compute_score_batch(["s"] * 3, ["1"] * 3, ["1"] * 3, infos[:3], url=server.url)
        self.assertEqual([sample["score"] for sample in scores], [1.0, 0.0, 1.0, 1.0])
        self.assertEqual(len(server.requests), 1)
        self.assertEqual([q["completions"] for q in server.requests[0].json["questions"]], [["2", "3"], ["2", "2"]])
        self.assertEqual(len({q["id"] for q in server.requests[0].json["questions"]}), 2)

    def test_a_plugin_with_the_name_of_an_entry_is_refused(self) -> None:
        def renamed(request: Request) -> Reply:
            content = request.json["questions"][0]["completions"]
            entry = {"id": "1", "answers": content, "scores": {"score": [1.0]}, "rewards": [1.0], "advantages": [0.0]}
            return reply(200, {"results": [entry]})

        with FakeServer(renamed) as server, self.assertRaisesRegex(ProtocolError, 'a plugin is named "score"'):
            compute_score("sums", "2", "2", url=server.url)


if __name__ == "__main__":
    unittest.main()
