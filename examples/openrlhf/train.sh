#!/usr/bin/env bash
# The command line of a training on a cluster, with `alft serve` on the host REWARDS. Needs OpenRLHF, Ray and eight GPUs.
set -euo pipefail

ray job submit --address="http://127.0.0.1:8265" -- python3 -m openrlhf.cli.train_ppo_ray \
    --reward.remote_url "http://${REWARDS:-127.0.0.1}:8765/v1/openrlhf" \
    --actor.model_name_or_path Qwen/Qwen2.5-1.5B-Instruct \
    --actor.num_nodes 1 --actor.num_gpus_per_node 8 \
    --ref.num_nodes 1 --ref.num_gpus_per_node 8 \
    --vllm.num_engines 8 --vllm.tensor_parallel_size 1 --vllm.enable_sleep \
    --train.colocate_all \
    --algo.advantage.estimator group_norm \
    --rollout.n_samples_per_prompt 8 \
    --data.prompt_dataset questions.jsonl --data.input_key prompt --data.label_key gold --data.apply_chat_template \
    --ckpt.output_dir runs/openrlhf-model
