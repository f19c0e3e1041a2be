/**
 * Plugins for alft in JavaScript.
 *
 * A plugin is a class, the default export of plugin.js, with a method for each of its roles. The argument of its
 * constructor is its configuration, the plugin's table of the run file. Its promises are fields of the object:
 *
 *     export default class Exact {
 *       summary = "Compares the answer with the gold answer, letter for letter.";
 *       scoreRange = [0, 1];
 *
 *       score(prompt, answer) {
 *         return answer === prompt.gold ? 1 : 0;
 *       }
 *     }
 *
 * | role      | method                     | returns                                                                 |
 * | --------- | -------------------------- | ----------------------------------------------------------------------- |
 * | reader    | `read(prompt, completion)` | the final answer in canonical form, or null; the prompt has no gold     |
 * | grader    | `grade(prompt, completion)`| a finite score for the completion: format, length, language, style      |
 * | verifier  | `score(prompt, answer)`    | a finite score for the answer                                           |
 * | objective | `evaluate(bundle)`         | `{ utility, rewards, violation }`, see `mean` and `rewards`             |
 *
 * Fields: `summary`, one sentence; `scoreRange` (verifier and grader: the lowest and the highest score); `concave`,
 * `gradient` and `needsReference` (objective: the utility is concave in the answer marginals; the rewards are the bundle
 * size times its gradient; it uses `answer.referenceProbability`).
 *
 * Every method is pure: the same arguments give the same result, and nothing outlives a call. An exception becomes an
 * error with its stack; an error is never a score. The lines of `console` go to the host's log. There are no files and no
 * network; asking for the time is a trap (`unreachable`), and `Math.random` returns the same numbers in every call.
 *
 * A prompt is `{ id, text, gold, metadata }`: `gold` is the known right answer or null, `metadata` a JSON object as text.
 * A bundle is `{ id, verifiers, multiplier, exact, groups }`, a group `{ prompt, size, answers }`, an answer `{ key, count,
 * scores, frequency, leaveOneOut, surprisal, pooledSurprisal, referenceProbability, pooledReferenceProbability }`. The
 * contract, objective.wit, defines each of them.
 */

/** Throws if any key of a configuration is left when the known ones are taken out: `{ marker = "####", ...unknown }`. */
export function refuse(unknown) {
  const keys = Object.keys(unknown);
  if (keys.length > 0) throw new TypeError(`unknown key ${keys.map((key) => `"${key}"`).join(", ")}`);
}

/** Returns the mean of `value(group)` over the bundle's groups. */
export function mean(bundle, value) {
  return bundle.groups.reduce((sum, group) => sum + value(group), 0) / bundle.groups.length;
}

/** Returns `reward(group, answer)` for each answer of each group: the `rewards` of an objective. */
export function rewards(bundle, reward) {
  return bundle.groups.map((group) => group.answers.map((answer) => reward(group, answer)));
}
