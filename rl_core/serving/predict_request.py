"""Parsing of predict requests, in the JSON format of Vertex AI: one set of options for each observation."""

from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import MAX_ID_LENGTH
from banditloop.rl_core.serving.request_json import read_request
from banditloop.rl_core.settings.section import explain


class InstanceOptions(NamedTuple):
    """Options of one observation.

    key: seed of its random draws, so that a repeated request gets the same decision; None: fresh draws.
    """

    key: str | None = None
    user: str | None = None
    event_id: str | None = None
    deferred: bool = False
    action: int | None = None
    probabilities: list[float] | None = None


NO_OPTIONS = InstanceOptions()
MAX_OBSERVATIONS = 10_000  # per request: deciding takes kilobytes of memory for each


class PredictRequest(NamedTuple):
    """The observations of a request, not yet validated, and the options of each.

    instance_rows: the rows of each instance's observations; None: every instance is one observation.
    """

    observations: list[Any]
    options: list[InstanceOptions]
    instance_rows: list[int | slice] | None = None


@with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Instance(TypedDict, total=False):
    """An observation, or a list of them as in Google's sample, with the application's options."""

    observation: Any
    user: Annotated[str | None, Field(min_length=1, description="user key; the same key gets the same policy version")]
    event_id: Annotated[
        str,
        Field(min_length=1, max_length=MAX_ID_LENGTH, description="id of the decision; repeated, it returns the same"),
    ]
    deferred: Annotated[bool, Field(description="the decision counts only once it is activated, when a user saw it")]
    action: Annotated[int, Field(ge=0, description="action that the application chose itself; logged and trained on")]
    probabilities: Annotated[
        list[Annotated[float, Field(ge=0, le=1)]],
        Field(description="probability of each action when it chose; default: the action was certain"),
    ]


INSTANCE = TypeAdapter(Instance)
SINGLE_OBSERVATION_KEYS = ("event_id", "deferred", "action", "probabilities")


def read_predict_request(body: bytes) -> PredictRequest:
    """The request in a JSON body.

    Raises:
        InvalidInput: it is not in the format of Vertex AI; names the error. Observations are validated later.
    """
    instances, request_id = _parse(body)
    _check_count(len(instances))
    if request_id is None and dict not in map(type, instances):  # the common case
        return PredictRequest(instances, [NO_OPTIONS] * len(instances))
    observations: list[Any] = []
    options: list[InstanceOptions] = []
    instance_rows: list[int | slice] = []
    for number, instance in enumerate(instances):
        rows, option, is_list = _parse_instance(number, instance)
        instance_rows.append(slice(len(options), len(options) + len(rows)) if is_list else len(options))
        observations += rows
        options += [option] * len(rows)
    if request_id:
        options = [
            option if option.key else option._replace(key=f"{request_id} {row}") for row, option in enumerate(options)
        ]
    _check_count(len(options))
    event_ids = [option.event_id for option in options if option.event_id]
    if len(set(event_ids)) < len(event_ids):
        raise InvalidInput("request: an event_id occurs twice; give each instance its own")
    return PredictRequest(observations, options, instance_rows)


def _parse(body: bytes) -> tuple[list[Any], str | None]:
    """The instances and the request_id."""
    request = read_request(body)
    instances = request.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('request: instances is missing or empty; send {"instances": [[number, ...], ...]}')
    parameters = request.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InvalidInput(f"request: parameters = {parameters!r:.40}: give an object")
    request_id = parameters.get("request_id")
    if request_id is not None and not (isinstance(request_id, str) and 16 <= len(request_id) <= 64):
        raise InvalidInput(
            f"request: parameters.request_id = {request_id!r:.40}: give a unique text of 16 to 64 characters"
        )
    return instances, request_id


def _check_count(observations: int) -> None:
    if observations > MAX_OBSERVATIONS:
        raise InvalidInput(f"request: {observations:,} observations: at most {MAX_OBSERVATIONS:,} are allowed")


def _parse_instance(number: int, instance: Any) -> tuple[list[Any], InstanceOptions, bool]:
    """The observations of an instance, their options, and whether the instance holds a list of observations."""
    if not isinstance(instance, dict):
        return [instance], NO_OPTIONS, False
    fields: dict[str, Any] = {**_validate(number, instance)}
    observation = fields.pop("observation", None)
    is_list = isinstance(observation, list) and bool(observation) and isinstance(observation[0], list)
    if is_list and (misplaced := [name for name in SINGLE_OBSERVATION_KEYS if name in fields]):
        raise InvalidInput(f"instance {number}: {misplaced[0]}: allowed only with a single observation")
    if "action" in fields and "deferred" in fields:
        raise InvalidInput(f"instance {number}: deferred: not allowed with action; send the action once it is shown")
    if "probabilities" in fields and "action" not in fields:
        raise InvalidInput(f"instance {number}: probabilities: give action too, the one that the application chose")
    return observation if is_list else [observation], InstanceOptions(key=fields.get("event_id"), **fields), is_list


def _validate(number: int, instance: dict[str, Any]) -> Instance:
    try:
        return INSTANCE.validate_python(instance)
    except ValidationError as error:
        raise InvalidInput(explain(error, f"instance {number}")) from None
