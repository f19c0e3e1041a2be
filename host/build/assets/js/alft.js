/**
 * Plugins for alft in JavaScript.
 *
 * A plugin is a class, the default export of plugin.js, with a method for each of its roles. Its constructor is given
 * the configuration, the plugin's table of the run file; what it promises are fields of the object:
 *
 *     export default class Exact {
 *       summary = "Is the answer the gold answer, letter for letter?";
 *       scoreRange = [0, 1];
 *
 *       score(prompt, answer) {
 *         return answer === prompt.gold ? 1 : 0;
 *       }
 *     }
 *
 * | role      | method                                | is asked                                                     |
 * | --------- | ------------------------------------- | ------------------------------------------------------------ |
 * | reader    | `read(prompt, completion)`            | the final answer in canonical form, or null; no gold answer  |
 * | verifier  | `score(prompt, answer)`               | what the answer is worth, a finite number                    |
 * | objective | `evaluate(bundle)`                    | `{ utility, rewards, violation }`, see `mean` and `rewards`  |
 *
 * Fields: `summary`; `scoreRange` (verifier: the lowest and the highest score); `concave`, `gradient` and `needsReference`
 * (objective: the utility is concave in the answer marginals; the rewards are the bundle size times its gradient;
 * it needs `answer.referenceProbability`).
 *
 * Every method is pure: the same arguments give the same result, and nothing outlives a call. What it throws becomes an
 * error with the stack; an error is never a score. What goes to `console` is handed to the host as diagnostics. There
 * are no files and no network; asking for the time is a trap (`unreachable`), and `Math.random` is the same at every call.
 *
 * A prompt is `{ id, text, gold, metadata }`: `gold` is the known right answer or null, `metadata` a JSON
 * object as text. A bundle is `{ id, verifiers, multiplier, exact, groups }`, a group `{ prompt, size, answers }`, an
 * answer `{ key, count, scores, frequency, leaveOneOut, surprisal, pooledSurprisal, referenceProbability, pooledReferenceProbability }`; the
 * contract's objective.wit says what each of them is.
 */

/** Refuses what is left of a configuration when the known keys are taken out: `{ marker = "####", ...unknown }`. */
export function refuse(unknown) {
  const keys = Object.keys(unknown);
  if (keys.length > 0) throw new TypeError(`unknown key ${keys.map((key) => `"${key}"`).join(", ")}`);
}

/** The mean over the bundle's groups of `of(group)`. */
export function mean(bundle, of) {
  return bundle.groups.reduce((sum, group) => sum + of(group), 0) / bundle.groups.length;
}

/** `of(group, answer)` for each answer of each group: what an objective returns as `rewards`. */
export function rewards(bundle, of) {
  return bundle.groups.map((group) => group.answers.map((answer) => of(group, answer)));
}
