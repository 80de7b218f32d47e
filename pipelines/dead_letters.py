"""The commands for messages that could not be logged."""

from typing import Annotated

import typer

from pipelines import display
from pipelines.options import ConfigOption, JsonOption, load
from rl_core.backends import connect
from rl_core.errors import InvalidInput
from rl_core.schema import SCHEMAS

app = typer.Typer(no_args_is_help=True)
TopicOption = Annotated[str, typer.Option("--topic", help=f"One of {', '.join(SCHEMAS)}; all where not given.")]
SHOWN = 200  # characters of a payload


@app.callback()
def dead_letters() -> None:
    """Look at the messages that could not be logged, and log them once the reason is gone.

    Example: `banditloop dead-letters list`
    """


@app.command(name="list")
def list_(topic: TopicOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show them with their reasons; whole with --json.

    Example: `banditloop dead-letters list --topic rewards`
    """
    bus = connect(load(config)).bus
    letters = [
        {"topic": name, "reason": reason, "payload": payload.decode("utf-8", "backslashreplace")}
        for name in _topics(topic)
        for reason, payload in bus.dead_letters(name)
    ]
    if not as_json:
        letters = [letter | {"payload": letter["payload"][:SHOWN]} for letter in letters]
    display.rows("dead letters", letters, as_json)


@app.command()
def replay(topic: TopicOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Hand them to the logger again; those that it still cannot log come back.

    Example: `banditloop dead-letters replay --topic rewards`
    """
    bus = connect(load(config)).bus
    replayed = {name: bus.replay(name) for name in _topics(topic)}
    display.show(
        replayed, as_json, "\n".join(f"{name}: {number} handed over again" for name, number in replayed.items())
    )


def _topics(chosen: str) -> list[str]:
    if chosen and chosen not in SCHEMAS:
        raise InvalidInput(f"topic {chosen!r}: is not one of: {', '.join(SCHEMAS)}")
    return [chosen] if chosen else list(SCHEMAS)
