"""Plugins for alft in Python.

A plugin is a class with a method for each of its roles. The keyword arguments of its constructor are its configuration:
the plugin's table of the run file.

    import alft

    class Exact(alft.Plugin):
        summary = "Compares the answer with the gold answer, letter for letter."
        score_range = (0.0, 1.0)

        def score(self, prompt, answer):
            return float(answer == prompt.gold)

    alft.export(Exact)

Every method is pure: the same arguments give the same result, and nothing outlives a call. An exception becomes an error
with its traceback; an error is never a score. Printed lines go to the host's log.

Imports run while the component is made, and may read files then. Later there are no files, no network and no clock:
asking for the time is a trap (`unreachable`), and `random` returns the same numbers in every call.
"""

from dataclasses import dataclass, field


class Plugin:
    """The base class of plugins. Override one or more of the four methods, and the attributes that apply."""

    #: One sentence.
    summary = ""
    #: Verifier and grader: the lowest and the highest score. The host refuses a score outside.
    score_range = None
    #: Objective: the utility is concave in the answer marginals, so the game has an equilibrium.
    concave = False
    #: Objective: the rewards are the bundle size times the gradient of the utility.
    gradient = False
    #: Objective: it uses `Answer.reference_probability`. The host then samples the reference policy too.
    needs_reference = False
    #: Reader and grader: a call has one completion, so that nothing of a completion's treatment is left for another one.
    #: The plugin refuses larger calls, and the host then halves the batch until each completion is alone.
    alone = False

    def read(self, prompt: "Prompt", completion: str) -> "str | None":
        """Returns the completion's final answer in canonical form: equal answers, equal keys. None if there is none.

        The prompt comes without its gold answer."""
        raise NotImplementedError

    def grade(self, prompt: "Prompt", completion: str) -> float:
        """Returns a finite score for the completion: format, length, language, style."""
        raise NotImplementedError

    def score(self, prompt: "Prompt", answer: str) -> float:
        """Returns a finite score for the answer. A wrong answer has a score; raise where no score can be found."""
        raise NotImplementedError

    def evaluate(self, bundle: "Bundle") -> "Valuation":
        """Returns the utility of the answers' distribution, and the reward of each answer. See `mean` and `rewards`."""
        raise NotImplementedError


@dataclass
class Prompt:
    """A question."""

    id: str = ""
    text: str = ""
    #: The known right answer, if there is one.
    gold: "str | None" = None
    #: A JSON object with the other keys of the question's line.
    metadata: str = "{}"


@dataclass
class Answer:
    """A class of equal answers within a group."""

    key: str
    #: Number of completions of the group that gave this answer; 0 if probabilities are exact.
    count: int = 0
    #: One score for each of the bundle's verifiers.
    scores: "list[float]" = field(default_factory=list)
    #: Estimate of the answer's probability ν: count / group size. Or ν itself if probabilities are exact.
    frequency: float = 0.0
    #: Leave-one-out estimate of ν: (count − 1) / (group size − 1).
    leave_one_out: float = 0.0
    #: Estimate of −log ν by the run's estimator.
    surprisal: float = 0.0
    #: Estimate of −log of the mean of ν over the bundle's prompts.
    pooled_surprisal: float = 0.0
    #: Estimate of the answer's probability under the reference policy, if `needs_reference` is set.
    reference_probability: float = 0.0
    #: Mean of `reference_probability` over the bundle's prompts.
    pooled_reference_probability: float = 0.0


@dataclass
class Group:
    """The answers to one prompt, sorted by the UTF-8 bytes of their keys."""

    prompt: Prompt
    #: Number of sampled completions, those without an answer included; 0 if probabilities are exact.
    size: int
    answers: "list[Answer]"


@dataclass
class Bundle:
    """Prompts that ask the same question."""

    id: str
    #: Names of the run's verifiers, in the order of `Answer.scores`.
    verifiers: "list[str]"
    #: Current price μ ≥ 0 of this objective's `violation`, set by the host.
    multiplier: float
    #: True if the probabilities are exact rather than estimated from samples.
    exact: bool
    groups: "list[Group]"


@dataclass
class Valuation:
    """The result of an objective for a bundle."""

    #: U of the bundle's answer marginals.
    utility: float
    #: For each answer of each group m·∂U/∂ν, where m is the number of groups; 0 should mean worthless.
    rewards: "list[list[float]]"
    #: For a constraint: cost − limit.
    violation: "float | None" = None


def mean(bundle, value):
    """Returns the mean of `value(group)` over the bundle's groups."""
    return sum(map(value, bundle.groups)) / len(bundle.groups)


def rewards(bundle, reward):
    """Returns `reward(group, answer)` for each answer of each group, in the shape of `Valuation.rewards`."""
    return [[reward(group, answer) for answer in group.answers] for group in bundle.groups]


#: The class that this component offers.
exported = None


def export(plugin):
    """Offers a plugin to the host. Call it once in a project."""
    global exported
    exported = plugin
