/**
 * Proportional fairness among a list of answers.
 *
 * U(ν) is the mean over the prompts of Σ log(1 + ν(z)/ε) over the listed answers z. A listed answer earns 1/(ε + ν(z)), more
 * if it is rare; other answers earn 0. This is the objective of Nash bargaining and of fair queueing, smoothed at 0 by ε. It
 * is concave, and its maximum is at equal shares.
 */

import { mean, refuse, rewards } from "./alft.js";

export default class Welfare {
  summary = "Rewards proportional fairness among listed answers.";
  concave = true;
  gradient = true;

  constructor({ answers = [], epsilon = 0.05, ...unknown } = {}) {
    refuse(unknown);
    if (answers.length === 0) throw new Error("answers is empty; list the answers to balance");
    if (!(epsilon > 0)) throw new Error(`epsilon is ${epsilon}; it must be above 0`);
    this.answers = new Set(answers);
    this.epsilon = epsilon;
  }

  evaluate(bundle) {
    const listed = (answer) => this.answers.has(answer.key);
    const welfare = ({ answers }) =>
      answers.filter(listed).reduce((sum, answer) => sum + Math.log1p(answer.frequency / this.epsilon), 0);
    return {
      utility: mean(bundle, welfare),
      rewards: rewards(bundle, (group, answer) => (listed(answer) ? 1 / (this.epsilon + answer.frequency) : 0)),
    };
  }
}
