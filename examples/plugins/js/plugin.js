/**
 * Proportional fairness: a list of answers that should all be given, none of them starved.
 *
 * U(ν) = mean over the prompts of Σ log(1 + ν(z)/ε) over the listed answers z, so a listed answer earns 1/(ε + ν(z)): the
 * rarer, the more. It is the objective of Nash's bargaining and of fair queues, smoothed at 0 by ε; concave, and greatest
 * at equal shares. Other answers earn nothing.
 */

import { mean, refuse, rewards } from "./alft.js";

export default class Welfare {
  summary = "Pays for giving every answer of a list its fair share.";
  concave = true;
  gradient = true;

  constructor({ answers = [], epsilon = 0.05, ...unknown } = {}) {
    refuse(unknown);
    if (answers.length === 0) throw new Error("answers is empty; list the answers that should all be given");
    if (!(epsilon > 0)) throw new Error(`epsilon is ${epsilon}; write a number above 0`);
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
