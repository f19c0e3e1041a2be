#!/usr/bin/env python3
"""Exact games per second: `alft solve` beside cvxpy with Clarabel, on the same file, at the same accuracy.

    cargo build --release
    pip install cvxpy clarabel
    python3 host/game/benches/games.py [GAMES.jsonl] [--alft target/release/alft] [--repeat 50]

alft's time is that of the whole command, its start and reading included, over the file repeated so often that the start
hardly counts. cvxpy's is that of building and solving each problem once, imports left out. Both values are compared.
"""

import argparse
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path

import cvxpy as cp

ROOT = Path(__file__).resolve().parents[3]


def reference(game):
    """The game as a convex program over answer marginals. Returns its value."""
    answers = sorted({t["answer"] for p in game["prompts"] for t in p["traces"]})
    column = {a: i for i, a in enumerate(answers)}
    ids = [p["id"] for p in game["prompts"]]
    m, beta = len(ids), game["beta"]
    base = []
    for prompt in game["prompts"]:
        row = [0.0] * len(answers)
        for trace in prompt["traces"]:
            row[column[trace["answer"]]] += trace["prob"]
        base.append(row)
    nus = [cp.Variable(len(answers), nonneg=True) for _ in ids]
    limits = [cp.sum(nu) == 1 for nu in nus]
    limits += [nu[i] == 0 for nu, row in zip(nus, base) for i, p in enumerate(row) if p == 0]
    kl = lambda nu, row: sum(cp.rel_entr(nu[i], row[i]) for i in range(len(row)) if row[i] > 0)
    value = -(beta / m) * sum(kl(nu, row) for nu, row in zip(nus, base))
    table = lambda values: [values.get(a, 0.0) for a in answers]
    mean = sum(nus) / m
    for objective in game["objectives"]:
        kind, w = objective["kind"], objective.get("weight", 1.0)
        if kind == "correctness":
            value += w / m * sum(cp.sum(cp.multiply(table(objective["reward"]), nu)) for nu in nus)
        elif kind == "entropy":
            value += w / m * sum(cp.sum(cp.entr(nu)) for nu in nus)
        elif kind == "gini":
            value += w / m * sum(1 - cp.sum_squares(nu) for nu in nus)
        elif kind == "target":
            value -= w / m * sum(kl(nu, table(objective["target"])) for nu in nus)
        elif kind == "coherence" and objective["consensus"] == "arithmetic":
            value -= w / m * sum(cp.sum(cp.rel_entr(nu, mean)) for nu in nus)
        elif kind == "coherence" and objective["consensus"] == "geometric":
            t = cp.Variable(len(answers), nonneg=True)
            limits += [cp.geo_mean(cp.hstack([nu[i] for nu in nus])) >= t[i] for i in range(len(answers))]
            value += w * cp.log(cp.sum(t))
        elif kind == "pairwise":
            total = sum(pair[2] for pair in objective["pairs"])
            for a, b, weight in objective["pairs"]:
                p, q = nus[ids.index(a)], nus[ids.index(b)]
                if objective["divergence"] == "jsd":
                    half = (p + q) / 2
                    apart = 0.5 * cp.sum(cp.rel_entr(p, half)) + 0.5 * cp.sum(cp.rel_entr(q, half))
                else:
                    apart = cp.sum_squares(p - q)
                value -= w * weight / total * apart
        elif kind == "marginal":
            for nu in nus:
                for name, share in objective["target"].items():
                    chosen = [column[a] for a, own in objective["attribute"].items() if own == name and a in column]
                    value -= w / m * cp.rel_entr(sum(nu[i] for i in chosen), share)
        elif kind == "constraint":
            limits.append(sum(cp.sum(cp.multiply(table(objective["cost"]), nu)) for nu in nus) / m <= objective["limit"])
        else:
            raise SystemExit(f"this script does not know {kind}")
    problem = cp.Problem(cp.Maximize(value), limits)
    problem.solve(solver=cp.CLARABEL)
    return problem.value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="?", type=Path, default=ROOT / "tests/cli/data/games.jsonl")
    parser.add_argument("--alft", type=Path, default=ROOT / "target/release/alft")
    parser.add_argument("--repeat", type=int, default=50)
    args = parser.parse_args()
    games = [json.loads(line) for line in args.games.read_text().splitlines() if line.strip()]

    reference(games[0])  # cvxpy loads its solver at the first call
    start = time.perf_counter()
    values = [reference(game) for game in games]
    peer = len(games) / (time.perf_counter() - start)

    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as many:
        for repeat in range(args.repeat):
            for game in games:
                many.write(json.dumps({**game, "name": f"{game['name']} {repeat}"}) + "\n")
        many.flush()
        best = math.inf
        for _ in range(3):
            start = time.perf_counter()
            out = subprocess.run([args.alft, "solve", many.name, "--json"], check=True, capture_output=True, text=True)
            best = min(best, time.perf_counter() - start)
    ours = len(games) * args.repeat / best
    solved = [json.loads(line)["value"] for line in out.stdout.splitlines()][: len(games)]
    apart = max(abs(a - b) for a, b in zip(solved, values))
    print(f"alft  {ours:10.0f} games/s")
    print(f"cvxpy {peer:10.1f} games/s")
    print(f"ratio {ours / peer:10.0f}, values agree to {apart:.1e}")


if __name__ == "__main__":
    main()
