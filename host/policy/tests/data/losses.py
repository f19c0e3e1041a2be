#!/usr/bin/env python3
"""Writes the losses that TRL's GRPOTrainer computes of one batch of log-probabilities, and their gradients.

    python losses.py losses.json

The loss is the trainer's own method, called with log-probabilities in the place of a model's. Everything in float64.
"""

import itertools
import json
import sys
from types import SimpleNamespace

import torch
import trl
from trl import GRPOTrainer

MASK = [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]
LOGP = [[-0.5, -1.2, -2.0, -0.1], [-3.0, -0.7, -1.0, -1.0], [-1.5, -0.2, -0.9, -1.0]]
LOGP_OLD = [[-0.9, -1.1, -2.9, -0.1], [-2.2, -0.9, -1.0, -1.0], [-1.5, -0.8, -0.4, -1.0]]
LOGP_REF = [[-0.7, -1.6, -1.5, -0.3], [-2.5, -0.5, -1.0, -1.0], [-1.1, -0.3, -1.4, -1.0]]
ADVANTAGES = [1.3, -0.8, -0.4]
EPSILON_LOW, EPSILON_HIGH, LONGEST = 0.2, 0.28, 5


def compute(loss_type, level, delta, beta, corrected):
    tensor = lambda values: torch.tensor(values, dtype=torch.float64)
    log_probs = tensor(LOGP).requires_grad_()
    metrics = {mode: __import__("collections").defaultdict(list) for mode in ("train", "eval")}
    trainer = GRPOTrainer.__new__(GRPOTrainer)
    trainer.__dict__.update(
        loss_type=loss_type,
        importance_sampling_level=level,
        beta=beta,
        epsilon_low=EPSILON_LOW,
        # TRL's CISPO takes the bound itself, not its distance from 1.
        epsilon_high=1 + EPSILON_HIGH if loss_type == "cispo" else EPSILON_HIGH,
        max_completion_length=LONGEST,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=1,
        args=SimpleNamespace(delta=delta, use_bias_correction_kl=corrected, steps_per_generation=1),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, **_: x),
        model=SimpleNamespace(training=True),
        _metrics=metrics,
        _get_per_token_logps_and_entropies=lambda *_, **__: (log_probs, torch.zeros_like(log_probs), None),
    )
    inputs = {
        "prompt_ids": torch.zeros(3, 1, dtype=torch.long),
        "prompt_mask": torch.ones(3, 1, dtype=torch.long),
        "completion_ids": torch.zeros(3, 4, dtype=torch.long),
        "completion_mask": torch.tensor(MASK),
        "advantages": tensor(ADVANTAGES),
        "old_per_token_logps": tensor(LOGP_OLD),
        "ref_per_token_logps": tensor(LOGP_REF),
        "num_items_in_batch": torch.tensor(sum(map(sum, MASK))),
    }
    loss = trainer._compute_loss(None, inputs)
    loss.backward()
    return loss.item(), log_probs.grad.tolist()


cases = []
for loss_type, level in itertools.product(["grpo", "dr_grpo", "dapo", "cispo"], ["token", "sequence"]):
    for delta, (beta, corrected) in itertools.product([None, 1.4], [(0.0, False), (0.1, False), (0.1, True)]):
        if loss_type == "cispo" and delta is not None:
            continue
        loss, gradient = compute(loss_type, level, delta, beta, corrected)
        case = {"loss_type": loss_type, "level": level, "delta": delta, "beta": beta, "corrected": corrected}
        cases.append({**case, "loss": loss, "gradient": gradient})
data = {
    "trl": trl.__version__,
    "batch": {"mask": MASK, "logp": LOGP, "logp_old": LOGP_OLD, "logp_ref": LOGP_REF, "advantages": ADVANTAGES},
    "epsilon_low": EPSILON_LOW,
    "epsilon_high": EPSILON_HIGH,
    "max_completion_length": LONGEST,
    "cases": cases,
}
open(sys.argv[1], "w").write(json.dumps(data) + "\n")
print(len(cases), "cases")
