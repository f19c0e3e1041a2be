"""`Collector`: holds samples that come one by one until their group is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from .errors import TornGroup

S = TypeVar("S")
R = TypeVar("R")


class _Group(Generic[S, R]):
    """The samples of a group that have come."""

    def __init__(self) -> None:
        self.samples: list[S] = []
        self.done: asyncio.Future[list[R]] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None


class Collector(Generic[S, R]):
    """Sends a group when its last sample has come, and gives each sample its own result."""

    def __init__(self, send: Callable[[list[S]], Awaitable[list[R]]], patience: float) -> None:
        """`patience` is the longest time between two samples of a group, in seconds."""
        self._send = send
        self._patience = patience
        self._groups: dict[Hashable, _Group[S, R]] = {}
        # The event loop keeps no task alive by itself.
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, key: Hashable, size: int, sample: S) -> R:
        """Returns the result of a sample once the `size` samples with its key have come and were sent together.

        Fails with `TornGroup` if the others do not come.
        """
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        place = len(group.samples)
        group.samples.append(sample)
        if group.timer is not None:
            group.timer.cancel()
        if len(group.samples) >= size:
            del self._groups[key]
            # A task of its own: if the caller of the last sample is cancelled, the others still get their results.
            task = asyncio.get_running_loop().create_task(self._finish(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            group.timer = asyncio.get_running_loop().call_later(self._patience, self._expire, key, group, size)
        return (await asyncio.shield(group.done))[place]

    async def _finish(self, group: _Group[S, R]) -> None:
        try:
            group.done.set_result(await self._send(group.samples))
        except Exception as error:
            group.done.set_exception(error)
            # Every caller may have been cancelled: the error was delivered as well as it could be.
            group.done.exception()

    def _expire(self, key: Hashable, group: _Group[S, R], size: int) -> None:
        del self._groups[key]
        group.done.set_exception(
            TornGroup(
                f"{len(group.samples)} of the {size} samples of a question came, and no other within "
                f"{self._patience:g} seconds; set reward.num_workers=1, so that all samples come to one process"
            )
        )
        group.done.exception()
