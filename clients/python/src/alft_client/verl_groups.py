"""A reward manager for verl that keeps groups whole.

    reward.num_workers=1
    reward.reward_manager.source=importlib
    reward.reward_manager.name=GroupRewardManager
    reward.reward_manager.module.path=pkg://alft_client.verl_groups
    +reward.reward_kwargs.run=my-run

verl gives a reward manager one sample at a time, in any order, and to any of its processes. This one holds the samples
of a question until all `rollout.n` have come, and asks the server about them together: so objectives on the
distribution of answers work. Samples of rows whose `extra_info["split"]` is not "train" are `rollout.val_kwargs.n`, and
move no target.

`reward.reward_kwargs` may have `url`, `run`, `metadata` and `failure_score`, as in `alft_client.verl`, and `patience`,
the longest time between two samples of a group in seconds (600).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from .aio import AsyncClient
from .collect import Collector
from .groups import question_id
from .records import Question, plain
from .verl import question, scores


@dataclass(frozen=True)
class _Sample:
    """A completion with what is known of its question."""

    completion: str
    is_training: bool
    data_source: Any
    ground_truth: Any
    prompt: Any
    extra_info: dict[str, Any]


class GroupRewardManager(RewardManagerBase):  # type: ignore[misc]
    """Asks `alft serve` about whole groups."""

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        compute_score: Any = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        if config.reward.num_workers != 1:
            raise ValueError(
                f"reward.num_workers is {config.reward.num_workers}: the samples of a group would go to several "
                "processes; set reward.num_workers=1"
            )
        settings = dict(config.reward.get("reward_kwargs") or {})
        rollout = config.actor_rollout_ref.rollout
        self._sizes = {True: int(rollout.n), False: int(rollout.val_kwargs.n)}
        self._run: str | None = settings.get("run")
        self._metadata = list(settings.get("metadata") or ())
        self._failure_score: float | None = settings.get("failure_score")
        self._client = AsyncClient.from_environment(settings.get("url"))
        self._collector = Collector(self._ask, float(settings.get("patience", 600.0)))

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Returns the reward of a sample, once its group is whole."""
        # A rollout of several sequences is rewarded by its last one.
        item = data[-1:][0]
        facts = item.non_tensor_batch
        responses = item.batch["responses"]
        length = int(item.batch["attention_mask"][-responses.shape[-1] :].sum())
        completion = await self.loop.run_in_executor(
            None, lambda: self.tokenizer.decode(responses[:length], skip_special_tokens=True)
        )
        info = dict(facts.get("extra_info") or {})
        sample = _Sample(
            completion=completion,
            is_training=info.get("split", "train") == "train",
            data_source=facts["data_source"],
            ground_truth=facts["reward_model"]["ground_truth"],
            prompt=plain(facts.get("raw_prompt")),
            extra_info=info,
        )
        if "uid" not in facts:
            raise ValueError("the samples have no `uid`, by which verl tells questions apart; use verl 0.7 or newer")
        size = self._sizes[sample.is_training]
        entries = await self._collector.add(str(facts["uid"]), size, sample)
        return {"reward_score": entries["score"], "reward_extra_info": entries}

    async def _ask(self, samples: list[_Sample]) -> list[dict[str, float]]:
        first = samples[0]
        asked = self._question(first, [sample.completion for sample in samples])
        if self._run is None or not first.is_training:
            results = await self._client.score([asked])
        else:
            results = await self._client.rewards(self._run, [asked])
        return scores(results[0], self._failure_score)

    def _question(self, sample: _Sample, completions: list[str]) -> Question:
        info = {**sample.extra_info, "raw_prompt": sample.prompt}
        # verl makes a new uid in every step, and targets are remembered by the question.
        name = question_id(
            str(sample.data_source), plain(sample.ground_truth), sample.prompt, plain(sample.extra_info.get("index"))
        )
        return question(sample.data_source, completions, sample.ground_truth, info, "raw_prompt", self._metadata, name)
