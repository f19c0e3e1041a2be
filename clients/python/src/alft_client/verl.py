"""Reward functions for verl: `reward.custom_reward_function.path=pkg://alft_client.verl`.

The server's address is `url` among the `reward_kwargs`, or ALFT_URL. The token is in ALFT_TOKEN alone: verl prints and
logs its configuration.

verl calls `compute_score` with one sample at a time. A verifier and a grader need no more, and an objective on the
distribution of a group's answers does: `verl_groups` has a reward manager for those.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from .client import Client
from .errors import ProtocolError, SampleFailed
from .groups import find_groups, question_id, unique_ids
from .messages import plain_messages, prompt_text
from .records import Question, Result, gold_answer, plain

_OWN_KEYS = ("score", "failed")

_TORN = (
    "a group must come whole: the batch must have the rollout.n samples of a question in neighbouring rows; pass "
    "`group=` in reward_kwargs where neighbouring questions may be equal"
)

_clients: dict[str | None, Client] = {}
_lock = threading.Lock()


def compute_score(
    data_source: Any,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    url: str | None = None,
    prompt_key: str = "question",
    metadata: Sequence[str] = (),
    failure_score: float | None = None,
    **ignored: Any,
) -> dict[str, float]:
    """Returns a sample's reward as `score`, the score of each plugin under its name, and 1 as `failed` if one failed.

    The prompt is `extra_info[prompt_key]`, a text or messages, if there is one. `metadata` names further entries of
    `extra_info` that plugins see. verl has no place for a missing reward: a sample that a plugin failed on raises
    `SampleFailed`, unless `failure_score` says what it is worth.
    """
    sample = question(data_source, [solution_str], ground_truth, extra_info, prompt_key, metadata)
    return scores(client(url).score([sample])[0], failure_score)[0]


def compute_score_batch(
    data_sources: Sequence[Any],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Mapping[str, Any] | None] | None = None,
    *,
    url: str | None = None,
    run: str | None = None,
    group: int | None = None,
    prompt_key: str = "question",
    metadata: Sequence[str] = (),
    failure_score: float | None = None,
    **ignored: Any,
) -> list[dict[str, float]]:
    """Returns what `compute_score` does for a batch, groups whole: for verl's batch reward manager.

    Neighbouring samples with the same source, right answer, prompt and `extra_info["index"]` are one question. `group`
    is the number of samples of a question, `rollout.n`. With `run` the targets of that run move with every batch.
    """
    infos = list(extra_infos) if extra_infos is not None else [None] * len(solution_strs)
    rows = list(zip(data_sources, solution_strs, ground_truths, infos, strict=True))
    names = [_name(source, truth, info, prompt_key) for source, _, truth, info in rows]
    groups = find_groups(names, group, _TORN)
    ids = unique_ids([names[members[0]] for members in groups])
    questions = []
    for members, name in zip(groups, ids, strict=True):
        source, _, truth, info = rows[members[0]]
        completions = [solution_strs[row] for row in members]
        questions.append(question(source, completions, truth, info, prompt_key, metadata, name))
    server = client(url)
    results = server.score(questions) if run is None else server.rewards(run, questions)
    return [sample for result in results for sample in scores(result, failure_score)]


def client(url: str | None) -> Client:
    """Returns this process's client of a server."""
    with _lock:
        if url not in _clients:
            _clients[url] = Client.from_environment(url)
        return _clients[url]


def question(
    data_source: Any,
    completions: Sequence[str],
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None,
    prompt_key: str,
    metadata: Sequence[str],
    name: str | None = None,
) -> Question:
    """Returns the question of a group of verl's samples."""
    info = extra_info or {}
    prompt = plain(info.get(prompt_key))
    facts = {key: plain(info[key]) for key in metadata if key in info}
    facts["data_source"] = str(data_source)
    if prompt is not None and (messages := plain_messages(prompt)) is not None:
        facts["messages"] = messages
    return Question(
        prompt="" if prompt is None else prompt_text(prompt),
        completions=completions,
        gold=gold_answer(ground_truth),
        id=name,
        metadata=facts,
    )


def scores(result: Result, failure_score: float | None) -> list[dict[str, float]]:
    """Returns the entries of verl for each sample of a result: all samples have the same keys, as verl needs it."""
    clash = next((plugin for plugin in result.scores if plugin in _OWN_KEYS), None)
    if clash is not None:
        raise ProtocolError(f'a plugin is named "{clash}" as an entry of verl; give it another name in the run file')
    samples = []
    for sample, reward in enumerate(result.rewards):
        if reward is None and failure_score is None:
            raise SampleFailed(
                f"{result.failure(sample) or 'the sample has no reward'}; mend the plugin, give it an `on_error` score "
                "in the run file of the server, or pass `failure_score=` in reward_kwargs"
            )
        by_plugin = {plugin: entries[sample] for plugin, entries in result.scores.items()}
        samples.append(
            {
                "score": failure_score if reward is None and failure_score is not None else float(reward or 0.0),
                **{name: score if isinstance(score, float) else math.nan for name, score in by_plugin.items()},
                "failed": float(reward is None),
            }
        )
    return samples


def _name(data_source: Any, ground_truth: Any, extra_info: Mapping[str, Any] | None, prompt_key: str) -> str:
    info = extra_info or {}
    return question_id(
        str(data_source),
        gold_answer(ground_truth),
        info.get("split"),
        plain(info.get("index")),
        plain(info.get(prompt_key)),
    )
