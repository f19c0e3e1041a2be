#!/usr/bin/env python3
"""Sends one request of each kind that `alft_client` has, to the server at ALFT_URL: `record.sh` records them."""

import asyncio

from alft_client import AsyncClient, Client, Question

SUM = Question("1+1=", ["2", "it is 2", "3", "two"], gold="2", id="q1")
# Phrasings of one question, a number as the right answer, metadata and characters beyond ASCII.
PHRASINGS = [
    Question("6 × 7 =", ["42", "41 😀"], gold=42, id="a", bundle="six times seven", metadata={"level": "easy"}),
    Question("six times seven?", ["forty-two", "42\n"], gold=42, id="b", bundle="six times seven"),
]


async def at_once(url):
    async with AsyncClient.from_environment(url) as alft:
        return await asyncio.gather(alft.score([SUM]), alft.score(PHRASINGS))


def main():
    with Client.from_environment() as alft:
        alft.wait_until_ready()
        alft.score([SUM])
        first = alft.rewards("recorded", [SUM, *PHRASINGS], step=3, idempotency_key="recorded-step-3")
        if alft.rewards("recorded", [SUM, *PHRASINGS], step=3, idempotency_key="recorded-step-3") != first:
            raise SystemExit("the same idempotency key got another answer")
        state = alft.run("recorded")
        print(state)
        if state.steps != 1:
            raise SystemExit("a repeated request moved the run")
    asyncio.run(at_once(None))


if __name__ == "__main__":
    main()
