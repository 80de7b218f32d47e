"""Parsing of predict requests, in the JSON format of Vertex AI: a context and options for each decision.

The contexts are checked later, by the task.
"""

from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from banditloop.rl_core.errors import InvalidInput, brief
from banditloop.rl_core.events.schema import MAX_STEP
from banditloop.rl_core.serving.request_json import MAX_EVENTS, check_count, check_keys, read_request
from banditloop.rl_core.settings.section import explain
from banditloop.rl_core.settings.task import MAX_CANDIDATES, MAX_ID_LENGTH


class InstanceOptions(NamedTuple):
    """Options of one decision.

    key: seed of its random draws, so that a repeated request gets the same decision; None: fresh draws.
    request: the request's id, the number of the decision in it, and how many it has; None without such an id.
    actions: the candidates, each an id or an object with its id and features; None: all of the catalogue.
    """

    key: str | None = None
    user: str | None = None
    event_id: str | None = None
    deferred: bool = False
    action: str | None = None
    probabilities: list[float] | None = None
    actions: list[Any] | None = None
    exclude: tuple[str, ...] = ()
    explain: bool = False
    episode_id: str | None = None
    step: int | None = None
    request: tuple[str, int, int] | None = None


NO_OPTIONS = InstanceOptions()
MAX_LISTED = 1_000_000  # ids in `actions` and `exclude` of all decisions of a request
MAX_BRACKETS = MAX_LISTED + 4 * MAX_EVENTS  # of candidates with features, instances and their lists
LISTED_PER_DECISION = 40  # candidates that count as one decision in a batch of requests


class PredictRequest(NamedTuple):
    """The contexts of a request, plain vectors or features by name, not yet checked, and the options of each.

    instance_rows: the rows of each instance's contexts; None: every instance is one context.
    listed: number of ids that the options list as candidates or exclude, altogether.
    """

    contexts: list[Any]
    options: list[InstanceOptions]
    instance_rows: list[int | slice] | None = None
    listed: int = 0

    @property
    def size(self) -> int:
        """The number of decisions, or more where they list or exclude many ids: a batch has arrays of both."""
        return max(len(self.options), self.listed // LISTED_PER_DECISION)


def as_integer(value: Any) -> Any:
    """A whole number as an integer: JSON does not distinguish 1 and 1.0, and Vertex AI's clients send the latter."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_text(value: Any) -> Any:
    """An action's id as a text: where the task numbers its actions, they may be given as numbers."""
    value = as_integer(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Step = Annotated[int, Field(ge=0, le=MAX_STEP), BeforeValidator(as_integer)]
ActionId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH), BeforeValidator(as_text)]
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]


@with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Instance(TypedDict, total=False):
    """A context, or a list of plain vectors as in Google's sample, with the application's options."""

    context: Annotated[dict[str, Any], Field(description="features of the context, by name")]
    observation: Annotated[Any, Field(description="plain vector, of a task whose only feature is one; or several")]
    actions: Annotated[
        list[Any],
        Field(min_length=1, max_length=MAX_CANDIDATES, description="candidates: ids, or objects of id and features"),
    ]
    exclude: Annotated[list[ActionId], Field(fail_fast=True, description="ids of actions that must not be chosen")]
    explain: Annotated[bool, Field(description="also answer the probabilities of all candidates")]
    user: Annotated[
        str | None,
        Field(min_length=1, description="user key; the same key gets the same version, without an episode_id"),
    ]
    event_id: Annotated[Id, Field(description="id of the decision; repeated, it returns the same")]
    episode_id: Annotated[Id, Field(description="id of the episode; all its decisions get the same policy version")]
    step: Annotated[Step, Field(description="number of the decision in its episode, from 0 on")]
    deferred: Annotated[bool, Field(description="the decision counts only once it is activated, when a user saw it")]
    action: Annotated[ActionId, Field(description="action that the application chose itself; logged and trained on")]
    probabilities: Annotated[
        list[Annotated[float, Field(ge=0, le=1)]],
        Field(
            fail_fast=True, description="probability of each candidate when it chose; default: the action was certain"
        ),
    ]


INSTANCE = TypeAdapter(Instance)
KEYS = Instance.__annotations__
SINGLE_KEYS = ("event_id", "deferred", "action", "probabilities", "actions", "step")


def read_predict_request(body: bytes) -> PredictRequest:
    """The request in a JSON body.

    Raises:
        InvalidInput: it is not in the format of Vertex AI; names the error. Contexts and candidates are checked later.
    """
    instances, request_id = _parse(body)
    check_count(len(instances), "contexts")
    if request_id is None and dict not in map(type, instances):  # the common case
        return PredictRequest(instances, [NO_OPTIONS] * len(instances))
    contexts: list[Any] = []
    options: list[InstanceOptions] = []
    instance_rows: list[int | slice] = []
    for number, instance in enumerate(instances):
        rows, option, is_list = _parse_instance(number, instance)
        instance_rows.append(slice(len(options), len(options) + len(rows)) if is_list else len(options))
        contexts += rows
        check_count(len(options) + len(rows), "contexts")
        options += [option] * len(rows)
    if request_id:
        options = [
            option._replace(key=option.key or f"request {request_id} {row}", request=(request_id, row, len(options)))
            for row, option in enumerate(options)
        ]
    listed = sum(len(option.actions or ()) + len(option.exclude) for option in options)
    if listed > MAX_LISTED:
        raise InvalidInput(
            f"request: {listed:,} ids in actions and exclude, counted for each decision: at most {MAX_LISTED:,} are "
            "allowed; send fewer instances per request"
        )
    event_ids = [option.event_id for option in options if option.event_id]
    if len(set(event_ids)) < len(event_ids):
        raise InvalidInput("request: an event_id occurs twice; give each instance its own")
    return PredictRequest(contexts, options, instance_rows, listed)


def _parse(body: bytes) -> tuple[list[Any], str | None]:
    """The instances and the request_id."""
    request = read_request(body, ("instances", "parameters"), MAX_BRACKETS)
    instances = request.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('request: instances is missing or empty; send {"instances": [context, ...]}')
    parameters = request.get("parameters")
    if parameters is None:
        return instances, None
    if not isinstance(parameters, dict):
        raise InvalidInput(f"request: parameters = {brief(parameters, 40)}: give an object")
    check_keys(parameters, ("request_id",), "request.parameters")
    request_id = parameters.get("request_id")
    if request_id is not None and not (isinstance(request_id, str) and 16 <= len(request_id) <= 64):
        raise InvalidInput(
            f"request: parameters.request_id = {brief(request_id, 40)}: give a unique text of 16 to 64 characters"
        )
    return instances, request_id


def _parse_instance(number: int, instance: Any) -> tuple[list[Any], InstanceOptions, bool]:
    """The contexts of an instance, their options, and whether the instance holds a list of plain vectors."""
    if not isinstance(instance, dict):
        return [instance], NO_OPTIONS, False
    fields: dict[str, Any] = {**_validate(number, instance)}
    if ("context" in fields) == ("observation" in fields):
        raise InvalidInput(f"instance {number}: give a context, features by name, or an observation, a plain vector")
    context = fields.pop("context") if "context" in fields else fields.pop("observation")
    is_list = isinstance(context, list) and bool(context) and isinstance(context[0], list)
    if is_list and (misplaced := [name for name in SINGLE_KEYS if name in fields]):
        raise InvalidInput(f"instance {number}: {misplaced[0]}: allowed only with a single observation")
    if "action" in fields and "deferred" in fields:
        raise InvalidInput(f"instance {number}: deferred: not allowed with action; send the action once it is shown")
    if "probabilities" in fields and "action" not in fields:
        raise InvalidInput(f"instance {number}: probabilities: give action too, the one that the application chose")
    if "step" in fields and "episode_id" not in fields:
        raise InvalidInput(f"instance {number}: step: give episode_id too, the episode that it is a step of")
    if "exclude" in fields:
        fields["exclude"] = tuple(dict.fromkeys(fields["exclude"]))
    key = f"event {fields['event_id']}" if "event_id" in fields else None  # differs from any key of a request_id
    return context if is_list else [context], InstanceOptions(key, **fields), is_list


def _validate(number: int, instance: dict[str, Any]) -> Instance:
    if not instance.keys() <= KEYS.keys():
        check_keys(instance, KEYS, f"instance {number}", "features belong in context; ")
    try:
        return INSTANCE.validate_python(instance)
    except ValidationError as error:
        raise InvalidInput(explain(error, f"instance {number}")) from None
