"""`AsyncClient`: the methods of `Client`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from .client import DEFAULT_URL, Client
from .records import Question, Result, RunState

T = TypeVar("T")


class AsyncClient:
    """A client of `alft serve` for asyncio. Each request has a thread while it waits, `connections` at most.

    A few long requests, each with whole groups, are what a trainer sends: threads serve them as well as an event loop
    would, without a dependency. A cancelled call returns at once; its request may still reach the server.
    """

    def __init__(self, url: str = DEFAULT_URL, *, connections: int = 32, **options: Any) -> None:
        """Takes the options of `Client`."""
        self._start(Client(url, **options), connections)

    @classmethod
    def from_environment(cls, url: str | None = None, *, connections: int = 32, **options: Any) -> AsyncClient:
        """Returns a client of the server at `url` or ALFT_URL, with the token in ALFT_TOKEN."""
        self = cls.__new__(cls)
        self._start(Client.from_environment(url, **options), connections)
        return self

    def _start(self, client: Client, connections: int) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="alft-client")

    def __repr__(self) -> str:
        return f"Async{self._client!r}"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the idle connections, and takes no more requests."""
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def score(self, questions: Sequence[Question], *, step: int | None = None) -> list[Result]:
        """Returns the results of questions, in their order. Nothing is remembered."""
        return await self._in_thread(lambda: self._client.score(questions, step=step))

    async def rewards(
        self,
        run: str,
        questions: Sequence[Question],
        *,
        step: int | None = None,
        idempotency_key: str | None = None,
    ) -> list[Result]:
        """Returns the results of questions as a step of a run, whose targets move: see `Client.rewards`."""
        return await self._in_thread(
            lambda: self._client.rewards(run, questions, step=step, idempotency_key=idempotency_key)
        )

    async def run(self, run: str) -> RunState:
        """Returns the state of a run. Fails with `NotFound` if the server does not know the run."""
        return await self._in_thread(lambda: self._client.run(run))

    async def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Waits until the server answers that it is ready."""
        await self._in_thread(lambda: self._client.wait_until_ready(seconds))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
