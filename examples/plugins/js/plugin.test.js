import assert from "node:assert/strict";
import test from "node:test";

import Welfare from "./plugin.js";

const bundle = (...shares) => ({
  id: "coin",
  groups: [{ answers: ["edge", "heads", "tails"].map((key, at) => ({ key, frequency: shares[at] })) }],
});
const welfare = (...shares) => new Welfare({ answers: ["heads", "tails"] }).evaluate(bundle(...shares));

test("equal shares are best", () => {
  assert.ok(welfare(0, 0.5, 0.5).utility > welfare(0, 0.6, 0.4).utility);
});

test("rewards are the gradient", () => {
  const step = 1e-6;
  const slope = (welfare(0.1, 0.6, 0.3 + step).utility - welfare(0.1, 0.6, 0.3 - step).utility) / (2 * step);
  const [edge, heads, tails] = welfare(0.1, 0.6, 0.3).rewards[0];
  assert.ok(Math.abs(tails - slope) < 1e-6 && tails > heads && edge === 0);
});
