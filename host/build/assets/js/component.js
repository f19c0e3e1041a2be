/**
 * What a component in JavaScript exports: the contract's interfaces, on top of the class that plugin.js exports.
 *
 * `alft plugin build` puts it beside a module project.js that has that class, and the name and version of plugin.toml.
 */

import diagnostics from "alft:objective/diagnostics";
import { Plugin, name, version } from "./project.js";

const say = (level) => (...words) => diagnostics.log(level, words.map(String).join(" "));
globalThis.console = { error: say("error"), warn: say("warn"), log: say("info"), info: say("info"), debug: say("debug") };

/** Nesting that JSON.parse takes on a component's small stack with room to spare; past its end there is only a trap. */
const DEEPEST = 128;

const parsed = (json) => {
  const [quote, escape, opening, closing] = ['"', "\\", "[{", "]}"];
  let [depth, quoted] = [0, false];
  for (let at = 0; at < json.length; at++) {
    const c = json[at];
    if (quoted && c === escape) at++;
    else if (c === quote) quoted = !quoted;
    else if (!quoted && opening.includes(c)) depth++;
    else if (!quoted && closing.includes(c)) depth--;
    if (depth > DEEPEST) throw new Error(`it is nested more than ${DEEPEST} deep`);
  }
  return JSON.parse(json);
};

/** What an author's code throws would be a trap that says nothing: makes it the contract's error. */
const contract = (call) => (config, batch) => {
  let opened;
  try {
    opened = new Plugin(parsed(config));
  } catch (error) {
    throw `its configuration is refused: ${error?.message ?? error}`;
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

export const verifier = {
  score: contract((plugin, batch) =>
    batch.map(({ prompt, answers }) => answers.map((text) => number("score", plugin.score(prompt, text))))),
};

export const objective = {
  evaluate: contract((plugin, batch) => batch.map((bundle) => valuation(plugin.evaluate(bundle)))),
};

const key = (read) => {
  if (read === null || read === undefined) return null;
  if (typeof read === "string") return read;
  throw new TypeError(`read returned a ${typeof read}; return a string, or null for no answer`);
};

const number = (what, value) => {
  if (typeof value === "number") return value;
  throw new TypeError(`${what} is ${value === null ? "null" : `a ${typeof value}`}; return a number`);
};

const valuation = ({ utility, rewards, violation }) => ({
  utility: number("utility", utility),
  rewards: rewards.map((group) => group.map((reward) => number("reward", reward))),
  violation: violation === null || violation === undefined ? null : number("violation", violation),
});
