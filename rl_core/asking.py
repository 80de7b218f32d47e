"""What a request asks: its JSON in, one ask for each observation out. The JSON is that of Vertex AI."""

from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from rl_core.errors import InvalidInput
from rl_core.schema import LONGEST_ID, read_request
from rl_core.sections import explain


class Ask(NamedTuple):
    """What is known of an observation."""

    key: str | None = None  # from which all chance is drawn, so that it may be asked again; None: drawn anew
    user: str | None = None
    event_id: str | None = None
    deferred: bool = False
    action: int | None = None
    probabilities: list[float] | None = None


PLAIN = Ask()
MOST_OBSERVATIONS = 10_000  # of a request: deciding takes room by the kilobyte for each


class Request(NamedTuple):
    """The observations of a request, as they came, and the ask for each of them.

    groups: which of them answer each of its instances; None: each the one that it is.
    """

    observations: list[Any]
    asks: list[Ask]
    groups: list[int | slice] | None = None


@with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Instance(TypedDict, total=False):
    """An observation, or as Google's sample sends them several, and what the application says of it."""

    observation: Any
    user: Annotated[str | None, Field(min_length=1, description="a key whose bearer always meets the same version")]
    event_id: Annotated[
        str, Field(min_length=1, max_length=LONGEST_ID, description="the decision's id; asked again, the same answer")
    ]
    deferred: Annotated[bool, Field(description="counts only once it is activated: once a user has seen it")]
    action: Annotated[int, Field(ge=0, description="chosen by the application itself; logged, and learned from")]
    probabilities: Annotated[
        list[Annotated[float, Field(ge=0, le=1)]], Field(description="with which it chose; without them, for certain")
    ]


INSTANCE = TypeAdapter(Instance)
ALONE = ("event_id", "deferred", "action", "probabilities")


def read_asks(body: bytes) -> Request:
    """What a request's body asks.

    Raises:
        InvalidInput: it is not of the form of Vertex AI; names what is wrong. Observations are not yet looked at.
    """
    instances, request_id = _read(body)
    if len(instances) > MOST_OBSERVATIONS:
        raise _too_many(len(instances))
    if request_id is None and dict not in map(type, instances):  # as most are
        return Request(instances, [PLAIN] * len(instances))
    observations: list[Any] = []
    asks: list[Ask] = []
    groups: list[int | slice] = []
    for number, instance in enumerate(instances):
        own, ask, several = _instance(number, instance)
        groups.append(slice(len(asks), len(asks) + len(own)) if several else len(asks))
        observations += own
        asks += [ask] * len(own)
    if request_id:
        asks = [ask if ask.key else ask._replace(key=f"{request_id} {row}") for row, ask in enumerate(asks)]
    if len(asks) > MOST_OBSERVATIONS:
        raise _too_many(len(asks))
    named = [ask.event_id for ask in asks if ask.event_id]
    if len(set(named)) < len(named):
        raise InvalidInput("request: an event_id names one instance; give each its own")
    return Request(observations, asks, groups)


def _read(body: bytes) -> tuple[list[Any], str | None]:
    request = read_request(body)
    instances = request.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('request: instances is missing or empty; send {"instances": [[number, ...], ...]}')
    parameters = request.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InvalidInput(f"request: parameters = {parameters!r:.40}: give an object")
    request_id = parameters.get("request_id")
    if request_id is not None and not (isinstance(request_id, str) and 16 <= len(request_id) <= 64):
        raise InvalidInput(f"request: parameters.request_id = {request_id!r:.40}: give 16 to 64 characters, once")
    return instances, request_id


def _too_many(observations: int) -> InvalidInput:
    return InvalidInput(f"request: {observations:,} observations: a request may have {MOST_OBSERVATIONS:,}")


def _instance(number: int, instance: Any) -> tuple[list[Any], Ask, bool]:
    """Its observations, what is known of them, and whether it came with a list of them."""
    if not isinstance(instance, dict):
        return [instance], PLAIN, False
    known: dict[str, Any] = {**_checked(number, instance)}
    observation = known.pop("observation", None)
    several = isinstance(observation, list) and bool(observation) and isinstance(observation[0], list)
    if several and (wrong := [name for name in ALONE if name in known]):
        raise InvalidInput(f"instance {number}: {wrong[0]}: is for an instance with one observation")
    if "action" in known and "deferred" in known:
        raise InvalidInput(f"instance {number}: deferred: what the application chose itself, it sends once it is shown")
    if "probabilities" in known and "action" not in known:
        raise InvalidInput(f"instance {number}: probabilities: come with the action that the application chose")
    return observation if several else [observation], Ask(key=known.get("event_id"), **known), several


def _checked(number: int, instance: dict[str, Any]) -> Instance:
    try:
        return INSTANCE.validate_python(instance)
    except ValidationError as error:
        raise InvalidInput(explain(error, f"instance {number}")) from None
