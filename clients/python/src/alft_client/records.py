"""The contents of requests and answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import ProtocolError

T = TypeVar("T")

# The keys of a question that are not metadata.
_KEYS = ("id", "bundle", "prompt", "completions", "gold", "reference")

# A surrogate alone is no character: JSON cannot say it, and one such sample would cost the whole request.
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Returns the text with U+FFFD in place of every lone surrogate."""
    return _SURROGATE.sub("\ufffd", text)


@dataclass(frozen=True)
class Question:
    """A prompt with one group of completions, as a line of `alft score` is."""

    prompt: str
    completions: Sequence[str]
    gold: str | int | float | None = None
    # The question's name: the targets of a run know it by this.
    id: str | None = None
    # Phrasings of one question have the same.
    bundle: str | None = None
    # Further keys of the question, which plugins see as a JSON object.
    metadata: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the question as the API has it; keys without a value are left out."""
        optional: dict[str, Any] = {
            "id": self.id,
            "gold": clean(self.gold) if isinstance(self.gold, str) else self.gold,
            "bundle": self.bundle,
        }
        taken = next((key for key in self.metadata or () if key in _KEYS), None)
        if taken is not None:
            raise ValueError(f'metadata must not have the key "{taken}", which a question has itself; rename it')
        return {
            **(self.metadata or {}),
            "prompt": clean(self.prompt),
            "completions": [clean(text) for text in self.completions],
            **{key: value for key, value in optional.items() if value is not None},
        }


@dataclass(frozen=True)
class Failure:
    """A plugin gave no value for an item."""

    reason: str


@dataclass(frozen=True)
class Result:
    """A question's answers, scores, rewards and advantages: an entry for each completion."""

    # The question's name, by default its place in the request, from 1.
    id: str
    # The reader's keys; None where no answer can be read.
    answers: list[str | Failure | None]
    # The scores of each plugin, unweighted; None where it was not asked.
    scores: dict[str, list[float | Failure | None]]
    # The weighted sums; None where a plugin failed.
    rewards: list[float | None]
    advantages: list[float | None]

    def failure(self, sample: int) -> str | None:
        """Returns the reason of a sample's first failure, with the name of the plugin."""
        answer = self.answers[sample]
        if isinstance(answer, Failure):
            return f"the reader failed: {answer.reason}"
        for plugin, scores in self.scores.items():
            score = scores[sample]
            if isinstance(score, Failure):
                return f"plugin {plugin} failed: {score.reason}"
        return None


@dataclass(frozen=True)
class RunState:
    """The state that the server keeps of a run."""

    run: str
    steps: int
    # Questions with a remembered target.
    questions: int
    # The multiplier of each constraint.
    multipliers: dict[str, float]


def plain(value: Any) -> Any:
    """Returns the value of a NumPy scalar or array, which columns of datasets may be, as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value


def gold_answer(value: Any) -> str | int | float | None:
    """Returns a dataset's right answer as a text or number: lists and objects as JSON, for plugins that parse it."""
    value = plain(value)
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return json.dumps(value, ensure_ascii=False)


def parse_results(value: Any, questions: Sequence[Question]) -> list[Result]:
    """Returns the results of an answer. Fails, naming the place, if they are not those of the questions."""
    results = _key(value, "results", "")
    if not isinstance(results, list) or len(results) != len(questions):
        raise _unexpected("results", f"a list of {len(questions)} results, one for each question")
    # The phrasings of a bundle may come together, in another order than they were asked. A question without a name has
    # that of its place.
    places = {str(_key(entry, "id", f"results[{place}]")): place for place, entry in enumerate(results)}
    ordered = []
    for number, question in enumerate(questions, start=1):
        name = str(number) if question.id is None else question.id
        if name not in places:
            raise _unexpected("results", f'a list with a result for the question "{name}"')
        place = places[name]
        ordered.append(_result(results[place], f"results[{place}]", len(question.completions)))
    return ordered


def parse_run(value: Any) -> RunState:
    """Returns the state of a run from an answer."""
    multipliers = _key(value, "multipliers", "")
    if not isinstance(multipliers, dict):
        raise _unexpected("multipliers", "an object")
    return RunState(
        run=str(_key(value, "run", "")),
        steps=_integer(_key(value, "steps", ""), "steps"),
        questions=_integer(_key(value, "questions", ""), "questions"),
        multipliers={str(name): _number(factor, f"multipliers.{name}") for name, factor in multipliers.items()},
    )


def _result(value: Any, place: str, samples: int) -> Result:
    scores = _key(value, "scores", place)
    if not isinstance(scores, dict):
        raise _unexpected(f"{place}.scores", "an object with the name of each plugin")
    return Result(
        id=str(value["id"]),
        answers=_entries(_key(value, "answers", place), f"{place}.answers", samples, _or_failure(_text)),
        scores={
            str(plugin): _entries(entries, f"{place}.scores.{plugin}", samples, _or_failure(_number))
            for plugin, entries in scores.items()
        },
        rewards=_entries(_key(value, "rewards", place), f"{place}.rewards", samples, _or_none(_number)),
        advantages=_entries(_key(value, "advantages", place), f"{place}.advantages", samples, _or_none(_number)),
    )


def _key(value: Any, key: str, place: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise _unexpected(place or "the answer", f'an object with the key "{key}"')
    return value[key]


def _entries(value: Any, place: str, samples: int, entry: Callable[[Any, str], T]) -> list[T]:
    if not isinstance(value, list) or len(value) != samples:
        raise _unexpected(place, f"a list of {samples} entries, one for each completion")
    return [entry(item, f"{place}[{index}]") for index, item in enumerate(value)]


def _or_none(entry: Callable[[Any, str], T]) -> Callable[[Any, str], T | None]:
    return lambda value, place: None if value is None else entry(value, place)


def _or_failure(entry: Callable[[Any, str], T]) -> Callable[[Any, str], T | Failure | None]:
    def parse(value: Any, place: str) -> T | Failure | None:
        if value is None:
            return None
        if isinstance(value, dict):
            return Failure(str(_key(value, "failure", place)))
        return entry(value, place)

    return parse


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise _unexpected(place, "a text")
    return value


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _unexpected(place, "a finite number")
    return float(value)


def _integer(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unexpected(place, "an integer")
    return value


def _unexpected(place: str, wanted: str) -> ProtocolError:
    return ProtocolError(f"{place} should be {wanted}; check that the address is that of `alft serve`")
