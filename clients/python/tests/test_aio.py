"""The asynchronous client."""

from __future__ import annotations

import asyncio
import os
import unittest
from unittest import mock

from fake_server import FakeServer, problem, slow

from alft_client import AsyncClient, InvalidRequest, Question


class Async(unittest.IsolatedAsyncioTestCase):
    async def test_requests_run_at_once(self) -> None:
        with FakeServer(*[slow(0.2)] * 4) as server:
            async with AsyncClient(server.url) as alft:
                questions = [Question("p", [str(i)], gold=i, id=f"q{i}") for i in range(4)]
                results = await asyncio.gather(*(alft.score([question]) for question in questions))
        self.assertEqual([result[0].id for result in results], ["q0", "q1", "q2", "q3"])
        # Each has a connection of its own, so none waited for another.
        self.assertEqual(len({request.connection for request in server.requests}), 4)

    async def test_it_has_all_the_methods(self) -> None:
        with FakeServer(problem(422, "Unprocessable Content", "no")) as server:
            with mock.patch.dict(os.environ, {"ALFT_URL": server.url}):
                alft = AsyncClient.from_environment(backoff=0.0)
            with self.assertRaises(InvalidRequest):
                await alft.rewards("run", [Question("p", ["1"])])
            await alft.wait_until_ready()
            self.assertEqual((await alft.rewards("run", [Question("p", ["1"], gold=1)], step=2))[0].rewards, [1.0])
            self.assertEqual((await alft.run("run")).steps, 3)
            await alft.close()
        self.assertIn("AsyncClient('http://127.0.0.1:", repr(alft))

    async def test_a_cancelled_call_returns_at_once(self) -> None:
        with FakeServer(slow(0.5)) as server:
            async with AsyncClient(server.url) as alft:
                with self.assertRaises(TimeoutError if hasattr(asyncio, "timeout") else asyncio.TimeoutError):
                    await asyncio.wait_for(alft.score([Question("p", ["1"])]), 0.05)


if __name__ == "__main__":
    unittest.main()
