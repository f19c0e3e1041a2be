#!/usr/bin/env python3
"""Writes the losses that TRL's trainers compute of one batch of log-probabilities, and their gradients.

    python losses.py losses.json

The loss is the trainer's own method, called with log-probabilities and entropies in the place of a model's. Everything in
float64. Every loss type is combined with every level of the ratio, two-sided clipping and form of the KL penalty that it
has; clipping ranges, the entropy bonus and a masked completion alternate over these.
"""

import itertools
import json
import sys
from collections import defaultdict
from types import SimpleNamespace

import torch
import trl
from trl import GRPOTrainer, RLOOTrainer

# For constants that TRL makes tensors of.
torch.set_default_dtype(torch.float64)

LENGTHS = [4, 2, 3]
LOGP = [[-0.5, -1.2, -2.0, -0.1], [-3.0, -0.7, -1.0, -1.0], [-1.5, -0.2, -0.9, -1.0]]
LOGP_OLD = [[-0.9, -1.1, -2.9, -0.1], [-2.2, -0.9, -1.0, -1.0], [-1.5, -0.8, -0.4, -1.0]]
LOGP_REF = [[-0.7, -1.6, -1.5, -0.3], [-2.5, -0.5, -1.0, -1.0], [-1.1, -0.3, -1.4, -1.0]]
ENTROPIES = [[1.1, 0.4, 2.0, 0.2], [0.7, 1.5, 0.0, 0.0], [0.3, 0.9, 1.2, 0.0]]
ADVANTAGES = [1.3, -0.8, -0.4]
LONGEST = 5
CLIPS = [(0.2, 0.28), (0.1, 0.1)]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def mask_of(masked):
    """The mask of completion tokens; the completion `masked` was truncated, and has none."""
    return [[int(place < length and row != masked) for place in range(4)] for row, length in enumerate(LENGTHS)]


def rounded(values):
    return [float(f"{value:.12g}") for value in values.flatten().tolist()]


def compute(kind, loss_type, level, delta, beta, corrected, clip, entropy_coef, masked):
    log_probs, entropies = tensor(LOGP).requires_grad_(), tensor(ENTROPIES).requires_grad_()
    mask = mask_of(masked)
    trainer = kind.__new__(kind)
    trainer.__dict__.update(
        loss_type=loss_type,
        importance_sampling_level=level,
        beta=beta,
        epsilon_low=clip[0],
        # TRL's CISPO takes the bound itself, not its distance from 1.
        epsilon_high=1 + clip[1] if loss_type == "cispo" else clip[1],
        max_completion_length=LONGEST,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        aux_loss_enabled=False,
        entropy_coef=entropy_coef,
        use_adaptive_entropy=False,
        _entropy_bonus_enabled=entropy_coef != 0.0,
        current_gradient_accumulation_steps=1,
        args=SimpleNamespace(
            delta=delta,
            use_bias_correction_kl=corrected,
            steps_per_generation=1,
            sapo_temperature_pos=1.0,
            sapo_temperature_neg=1.05,
            vespo_k_pos=2.0,
            vespo_lambda_pos=3.0,
            vespo_k_neg=3.0,
            vespo_lambda_neg=2.0,
        ),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, **_: x, sync_gradients=True),
        model=SimpleNamespace(training=True),
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        _get_per_token_logps_and_entropies=lambda *_, **__: (log_probs, entropies, None),
    )
    inputs = {
        "prompt_ids": torch.zeros(3, 1, dtype=torch.long),
        "prompt_mask": torch.ones(3, 1, dtype=torch.long),
        "completion_ids": torch.zeros(3, 4, dtype=torch.long),
        "completion_mask": torch.tensor(mask),
        "advantages": tensor(ADVANTAGES),
        "old_per_token_logps": tensor(LOGP_OLD),
        "old_logps": (log_probs.detach() * torch.tensor(mask)).sum(1),
        "ref_per_token_logps": tensor(LOGP_REF),
        "num_items_in_batch": torch.tensor(sum(map(sum, mask))),
    }
    loss = trainer._compute_loss(None, inputs)
    loss.backward()
    result = {"loss": loss.item(), "gradient": rounded(log_probs.grad)}
    return {**result, "entropy_gradient": rounded(entropies.grad)} if entropy_coef else result


cases = []
types = ["grpo", "dr_grpo", "dapo", "bnpo", "luspo", "cispo", "sapo", "vespo"]
penalties = [(0.0, False), (0.1, False), (0.1, True)]
for loss_type, level, delta, (beta, corrected) in itertools.product(types, ["token", "sequence"], [None, 1.4], penalties):
    if delta is not None and loss_type in ["cispo", "sapo", "vespo"]:
        continue
    # With the ratio of a sequence TRL corrects the penalty by that, and the gradient is no longer the divergence's.
    if corrected and level == "sequence" or loss_type == "luspo" and level == "token":
        continue
    count = len(cases)
    settings = {"loss_type": loss_type, "level": level, "delta": delta, "beta": beta, "corrected": corrected}
    settings |= {"clip": CLIPS[count // 3 % 2], "entropy_coef": [0.0, 0.1][count % 2], "masked": [None, 1][count // 2 % 2]}
    cases.append({**settings, **compute(GRPOTrainer, **settings)})
# On the policy's own samples.
settings = {"loss_type": "rloo", "level": "token", "delta": None, "beta": 0.0, "corrected": False, "clip": CLIPS[0]}
settings |= {"entropy_coef": 0.0, "masked": None}
cases.append({**settings, **compute(RLOOTrainer, **settings)})
batch = {"lengths": LENGTHS, "logp": LOGP, "logp_old": LOGP_OLD, "logp_ref": LOGP_REF, "entropies": ENTROPIES}
data = {
    "trl": trl.__version__,
    "batch": {**batch, "advantages": ADVANTAGES},
    "max_completion_length": LONGEST,
    "cases": cases,
}
open(sys.argv[1], "w").write(json.dumps(data) + "\n")
print(len(cases), "cases")
