/**
 * The exports of a component in JavaScript: the contract's interfaces, on top of the class that plugin.js exports.
 *
 * `alft plugin build` writes a module project.js beside it, with that class and the name and version of plugin.toml.
 */

import diagnostics from "alft:objective/diagnostics";
import { Plugin, name, version } from "./project.js";

const log = (level) => (...values) => diagnostics.log(level, values.map(String).join(" "));
globalThis.console = { error: log("error"), warn: log("warn"), log: log("info"), info: log("info"), debug: log("debug") };

/** JSON.parse recurses, and a component's stack is small: an overflow would be a trap without a message. */
const MAX_DEPTH = 128;

const parsed = (json) => {
  const [quote, escape, opening, closing] = ['"', "\\", "[{", "]}"];
  let [depth, quoted] = [0, false];
  for (let at = 0; at < json.length; at++) {
    const c = json[at];
    if (quoted && c === escape) at++;
    else if (c === quote) quoted = !quoted;
    else if (!quoted && opening.includes(c)) depth++;
    else if (!quoted && closing.includes(c)) depth--;
    if (depth > MAX_DEPTH) throw new Error(`it is nested more than ${MAX_DEPTH} deep`);
  }
  return JSON.parse(json);
};

/** Turns an exception of the author's code into the contract's error. It would be a trap without a message. */
const contract = (call) => (config, batch) => {
  let opened;
  try {
    opened = new Plugin(parsed(config));
  } catch (error) {
    throw `the configuration is refused: ${error?.message ?? error}`;
  }
  try {
    return call(opened, batch);
  } catch (error) {
    throw `${error}\n${error?.stack ?? ""}`.trim();
  }
};

export const about = {
  describe: contract((plugin) => ({
    name,
    version,
    summary: plugin.summary ?? "",
    scoreRange: plugin.scoreRange ? { low: plugin.scoreRange[0], high: plugin.scoreRange[1] } : null,
    concave: plugin.concave ?? false,
    gradient: plugin.gradient ?? false,
    needsReference: plugin.needsReference ?? false,
  })),
};

export const reader = {
  read: contract((plugin, batch) =>
    batch.map(({ prompt, completions }) => completions.map((text) => key(plugin.read(prompt, text))))),
};

export const grader = {
  grade: contract((plugin, batch) =>
    batch.map(({ prompt, completions }) => completions.map((text) => number("score", plugin.grade(prompt, text))))),
};

export const verifier = {
  score: contract((plugin, batch) =>
    batch.map(({ prompt, answers }) => answers.map((text) => number("score", plugin.score(prompt, text))))),
};

export const objective = {
  evaluate: contract((plugin, batch) => batch.map((bundle) => valuation(plugin.evaluate(bundle)))),
};

const key = (result) => {
  if (result === null || result === undefined) return null;
  if (typeof result === "string") return result;
  throw new TypeError(`read returned a ${typeof result}; return a string, or null for no answer`);
};

const number = (name, value) => {
  if (typeof value === "number") return value;
  throw new TypeError(`${name} is ${value === null ? "null" : `a ${typeof value}`}; return a number`);
};

const valuation = ({ utility, rewards, violation }) => ({
  utility: number("utility", utility),
  rewards: rewards.map((group) => group.map((reward) => number("reward", reward))),
  violation: violation === null || violation === undefined ? null : number("violation", violation),
});
