"""Samples that come one by one are sent as groups."""

from __future__ import annotations

import asyncio
import unittest

from alft_client import TornGroup
from alft_client.collect import Collector


class Collect(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.sent: list[list[int]] = []
        self.collector: Collector[int, int] = Collector(self.send, patience=30.0)

    async def send(self, samples: list[int]) -> list[int]:
        self.sent.append(samples)
        await asyncio.sleep(0)
        if 13 in samples:
            raise ValueError("13")
        return [10 * sample for sample in samples]

    async def test_each_sample_gets_its_own_result_of_its_whole_group(self) -> None:
        samples = [("a", 2, 1), ("b", 3, 2), ("a", 2, 3), ("b", 3, 4), ("b", 3, 5), ("a", 2, 6), ("a", 2, 7)]
        results = await asyncio.gather(*(self.collector.add(key, size, sample) for key, size, sample in samples))
        self.assertEqual(results, [10, 20, 30, 40, 50, 60, 70])
        self.assertEqual(self.sent, [[1, 3], [2, 4, 5], [6, 7]])

    async def test_a_group_that_stays_incomplete_is_torn(self) -> None:
        self.collector = Collector(self.send, patience=0.01)
        alone = await asyncio.gather(*(self.collector.add("a", 3, i) for i in range(2)), return_exceptions=True)
        for error in alone:
            self.assertIsInstance(error, TornGroup)
            self.assertIn("2 of the 3 samples", str(error))
            self.assertIn("reward.num_workers=1", str(error))
        # The next group with this key is a new one.
        self.assertEqual(await asyncio.gather(*(self.collector.add("a", 2, i) for i in range(2))), [0, 10])

    async def test_an_error_reaches_every_sample_of_the_group_alone(self) -> None:
        results = await asyncio.gather(
            *(self.collector.add(key, 2, sample) for key, sample in [("a", 1), ("b", 2), ("a", 13), ("b", 3)]),
            return_exceptions=True,
        )
        self.assertIsInstance(results[0], ValueError)
        self.assertIsInstance(results[2], ValueError)
        self.assertEqual(results[1::2], [20, 30])

    async def test_a_cancelled_caller_takes_no_result_from_the_others(self) -> None:
        first = asyncio.create_task(self.collector.add("a", 2, 1))
        await asyncio.sleep(0)
        last = asyncio.create_task(self.collector.add("a", 2, 2))
        await asyncio.sleep(0)
        last.cancel()
        self.assertEqual(await first, 10)


if __name__ == "__main__":
    unittest.main()
