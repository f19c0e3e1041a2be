"""Reward functions for TRL's trainers, such as `GRPOTrainer(reward_funcs=reward_function(client), …)`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .aio import AsyncClient
from .client import Client
from .groups import find_groups, question_id, unique_ids
from .messages import Conversation, completion_text, plain_messages, prompt_text
from .records import Question, Result, gold_answer

logger = logging.getLogger(__name__)

Rewards: TypeAlias = list[float | None]
RewardFunction: TypeAlias = Callable[..., Rewards]
AsyncRewardFunction: TypeAlias = Callable[..., Coroutine[Any, Any, Rewards]]

_TORN = (
    "a group must come whole: make per_device_train_batch_size × steps_per_generation a multiple of num_generations, "
    "so that no process has a part of one, and where neighbouring rows of the dataset are equal pass "
    "`num_generations=` to reward_function"
)


@dataclass(frozen=True)
class Columns:
    """The columns of the dataset that a question is made of."""

    # Column of the right answer. None for questions without one.
    gold: str | None = "answer"
    # Column of the question's name. Without one it is a hash of the prompt and the right answer.
    id: str | None = None
    # Column that is equal for the phrasings of one question.
    bundle: str | None = None
    # Columns that plugins see in the metadata.
    metadata: Sequence[str] = ()


def reward_function(
    client: Client,
    run: str | None = None,
    gold: str | None = "answer",
    *,
    id: str | None = None,
    bundle: str | None = None,
    metadata: Sequence[str] = (),
    num_generations: int | None = None,
    name: str = "alft",
) -> RewardFunction:
    """Returns a reward function whose rewards are those of the server: the weighted sums over its plugins.

    Neighbouring rows with the same prompt are one question with all its completions. `gold`, `id`, `bundle` and
    `metadata` name columns of the dataset: see `Columns`. With `run` the targets of that run move with every call;
    without it nothing is remembered. `num_generations` is that of the trainer: with it a torn group is found even where
    both parts are of one size. TRL logs the rewards under `name`, and the mean score of each plugin under
    `name/PLUGIN`. A sample that a plugin failed on has the reward None: TRL leaves it out.
    """
    columns = Columns(gold=gold, id=id, bundle=bundle, metadata=metadata)

    def rewards(
        prompts: Sequence[Conversation], completions: Sequence[Conversation], completion_ids: Any = None, **extra: Any
    ) -> Rewards:
        questions, step = ask(prompts, completions, extra, columns, num_generations)
        results = client.score(questions, step=step) if run is None else client.rewards(run, questions, step=step)
        return tell(results, name, extra)

    rewards.__name__ = rewards.__qualname__ = name
    return rewards


def async_reward_function(
    client: AsyncClient,
    run: str | None = None,
    gold: str | None = "answer",
    *,
    id: str | None = None,
    bundle: str | None = None,
    metadata: Sequence[str] = (),
    num_generations: int | None = None,
    name: str = "alft",
) -> AsyncRewardFunction:
    """Returns `reward_function` as a coroutine function: TRL runs it beside the trainer's other ones."""
    columns = Columns(gold=gold, id=id, bundle=bundle, metadata=metadata)

    async def rewards(
        prompts: Sequence[Conversation], completions: Sequence[Conversation], completion_ids: Any = None, **extra: Any
    ) -> Rewards:
        questions, step = ask(prompts, completions, extra, columns, num_generations)
        if run is None:
            results = await client.score(questions, step=step)
        else:
            results = await client.rewards(run, questions, step=step)
        return tell(results, name, extra)

    rewards.__name__ = rewards.__qualname__ = name
    return rewards


def ask(
    prompts: Sequence[Conversation],
    completions: Sequence[Conversation],
    extra: Mapping[str, Any],
    columns: Columns,
    num_generations: int | None = None,
) -> tuple[list[Question], int | None]:
    """Returns the questions of a trainer's rows, and the trainer's step if it says one."""
    rows = len(prompts)
    if len(completions) != rows:
        raise ValueError(f"{rows} prompts with {len(completions)} completions: there must be one for each")

    def column(name: str | None, parameter: str) -> Sequence[Any]:
        if name is None:
            return [None] * rows
        if name not in extra:
            known = ", ".join(sorted(key for key, value in extra.items() if isinstance(value, list))) or "none"
            hint = f"pass {parameter}= with the name of a column"
            if parameter == "gold":
                hint += ", or gold=None for questions without a right answer"
            raise ValueError(f'the dataset has no column "{name}" (it has: {known}); {hint}')
        values = extra[name]
        if len(values) != rows:
            raise ValueError(f'the column "{name}" has {len(values)} rows, and there are {rows} prompts')
        return list(values)

    golds = [gold_answer(value) for value in column(columns.gold, "gold")]
    ids = column(columns.id, "id")
    bundles = column(columns.bundle, "bundle")
    metadata = {name: column(name, "metadata") for name in columns.metadata}
    texts = [prompt_text(prompt) for prompt in prompts]
    messages = [plain_messages(prompt) for prompt in prompts]
    contents = [message or text for message, text in zip(messages, texts, strict=True)]
    names = [
        question_id(content, gold) if id is None else str(id)
        for content, gold, id in zip(contents, golds, ids, strict=True)
    ]
    # A group's samples have everything in common, so rows with one prompt and two right answers are two questions.
    keys = [(names[row], question_id(contents[row], golds[row], bundles[row])) for row in range(rows)]
    groups = find_groups(keys, num_generations, _TORN)
    questions = []
    for group, name in zip(groups, unique_ids([names[group[0]] for group in groups]), strict=True):
        first = group[0]
        facts = {column: values[first] for column, values in metadata.items()}
        if messages[first] is not None:
            facts["messages"] = messages[first]
        questions.append(
            Question(
                prompt=texts[first],
                completions=[completion_text(completions[row]) for row in group],
                gold=golds[first],
                id=name,
                bundle=None if bundles[first] is None else str(bundles[first]),
                metadata=facts or None,
            )
        )
    step = getattr(extra.get("trainer_state"), "global_step", None)
    return questions, step if isinstance(step, int) else None


def tell(results: Sequence[Result], name: str, extra: Mapping[str, Any]) -> Rewards:
    """Returns the rewards in the order of the rows, and has the trainer log the mean score of each plugin."""
    rewards = [reward for result in results for reward in result.rewards]
    failures = [reason for result in results for i in range(len(result.rewards)) if (reason := result.failure(i))]
    if failures:
        logger.warning("%d of %d samples have no reward: %s", rewards.count(None), len(rewards), failures[0])
    log_metric = extra.get("log_metric")
    if callable(log_metric):
        for plugin in results[0].scores if results else ():
            entries = [entry for result in results for entry in result.scores.get(plugin, ())]
            scores = [entry for entry in entries if isinstance(entry, float)]
            if scores:
                log_metric(f"{name}/{plugin}", math.fsum(scores) / len(scores))
        if rewards:
            log_metric(f"{name}/without_reward", rewards.count(None) / len(rewards))
    return rewards
