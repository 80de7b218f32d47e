"""A decision, as the endpoint answers it."""

from typing import Any, NamedTuple


class Decision(NamedTuple):
    """The chosen action, the probability with which it was chosen, and the version of the policy that chose it.

    probabilities: of all candidates, by id, where the request asked to explain.
    """

    event_id: str
    action: Any
    propensity: float
    policy_version: str
    probabilities: dict[str, float] | None = None
