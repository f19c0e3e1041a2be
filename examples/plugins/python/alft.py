"""Plugins for alft in Python.

A plugin is a class with a method for each of its roles. Its constructor's keyword arguments are its configuration: the
plugin's table of the run file.

    import alft

    class Exact(alft.Plugin):
        summary = "Is the answer the gold answer, letter for letter?"
        score_range = (0.0, 1.0)

        def score(self, prompt, answer):
            return float(answer == prompt.gold)

    alft.export(Exact)

Every method is pure: the same arguments give the same result, and nothing outlives a call. What it raises becomes an
error with the traceback; an error is never a score. What it prints is handed to the host as diagnostics.

Modules are imported, and what they then read is read, while the component is made. Later there are no files, no network
and no clock: asking for the time is a trap (`unreachable`), and `random` is the same at every call.
"""

from dataclasses import dataclass, field


class Plugin:
    """What a plugin promises, and the roles that it can play: override one or more of the three methods."""

    #: One sentence.
    summary = ""
    #: Verifier: the lowest and the highest score. The host refuses a score outside.
    score_range = None
    #: Objective: the utility is concave in the answer marginals, so the game has an equilibrium.
    concave = False
    #: Objective: the rewards are the bundle size times the gradient of the utility.
    gradient = False
    #: Objective: it needs `Answer.reference_probability`. The host then samples the reference policy too.
    needs_reference = False

    def read(self, prompt: "Prompt", completion: str) -> "str | None":
        """The completion's final answer in canonical form: equal answers, equal keys. None where there is none.

        The prompt comes without its gold answer."""
        raise NotImplementedError

    def score(self, prompt: "Prompt", answer: str) -> float:
        """What the answer is worth, a finite number. *Wrong* is a score; raise where no score can be found."""
        raise NotImplementedError

    def evaluate(self, bundle: "Bundle") -> "Valuation":
        """What the distribution of answers is worth, and the reward of each answer. See `mean` and `rewards`."""
        raise NotImplementedError


@dataclass
class Prompt:
    """A question."""

    id: str = ""
    text: str = ""
    #: The known right answer, if there is one.
    gold: "str | None" = None
    #: A JSON object: whatever else the prompts file said of this question.
    metadata: str = "{}"


@dataclass
class Answer:
    """One class of equal answers within a group."""

    key: str
    #: How many completions of the group gave it; 0 where probabilities are exact.
    count: int = 0
    #: One score for each of the bundle's verifiers.
    scores: "list[float]" = field(default_factory=list)
    #: Estimate of its probability ν: count / group size, or exact.
    frequency: float = 0.0
    #: Leave-one-out estimate of ν: (count − 1) / (group size − 1).
    leave_one_out: float = 0.0
    #: Estimate of −log ν by the run's estimator.
    surprisal: float = 0.0
    #: Estimate of −log of ν averaged over the bundle's prompts.
    pooled_surprisal: float = 0.0
    #: Estimate of its probability under the reference policy, where the plugin asks for it.
    reference_probability: float = 0.0
    #: The same averaged over the bundle's prompts.
    pooled_reference_probability: float = 0.0


@dataclass
class Group:
    """The answers to one prompt, sorted by the UTF-8 bytes of their keys."""

    prompt: Prompt
    #: Completions sampled, those without an answer included; 0 where probabilities are exact.
    size: int
    answers: "list[Answer]"


@dataclass
class Bundle:
    """Prompts that ask the same thing."""

    id: str
    #: The names of the run's verifiers, in the order of `Answer.scores`.
    verifiers: "list[str]"
    #: The price μ ≥ 0 that the host has reached for this objective's `violation`.
    multiplier: float
    #: The probabilities are exact rather than estimated from samples.
    exact: bool
    groups: "list[Group]"


@dataclass
class Valuation:
    """What an objective says of a bundle."""

    #: U of the bundle's answer marginals.
    utility: float
    #: For each answer of each group m·∂U/∂ν, m the number of groups; 0 should mean worthless.
    rewards: "list[list[float]]"
    #: For a constraint: how far it is exceeded (cost − limit).
    violation: "float | None" = None


def mean(bundle, of):
    """The mean over the bundle's groups of `of(group)`."""
    return sum(map(of, bundle.groups)) / len(bundle.groups)


def rewards(bundle, of):
    """`of(group, answer)` for each answer of each group: what `Valuation.rewards` wants."""
    return [[of(group, answer) for answer in group.answers] for group in bundle.groups]


#: The class that this component offers.
exported = None


def export(plugin):
    """Offers a plugin to the host. Once a project."""
    global exported
    exported = plugin
