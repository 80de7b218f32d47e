"""The commands for dead letters: messages that could not be logged."""

from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, group, load_config
from banditloop.pipelines.cli.progress import doing
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import KEYS

app = group()
TopicOption = Annotated[str, typer.Option("--topic", help=f"One of: {', '.join(KEYS)}. Default: all.")]
MAX_PAYLOAD_SHOWN = 200  # characters


@app.callback()
def dead_letters() -> None:
    """Inspect messages that could not be logged, and replay them once the cause is fixed.

    Example: `banditloop dead-letters list`

    Example: `banditloop dead-letters replay --topic rewards`
    """


@app.command(name="list")
def list_(topic: TopicOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List dead letters with their reasons; --json prints the whole payloads.

    Example: `banditloop dead-letters list --topic rewards`
    """
    bus = connect(load_config(config)).bus
    letters = [
        {"topic": name, "reason": reason, "payload": payload.decode("utf-8", "backslashreplace")}
        for name in _topics(topic)
        for reason, payload in bus.dead_letters(name)
    ]
    if not as_json:
        letters = [letter | {"payload": letter["payload"][:MAX_PAYLOAD_SHOWN]} for letter in letters]
    display.table("dead letters", letters, as_json)


@app.command()
def replay(topic: TopicOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Publish dead letters again; those that still cannot be logged become dead letters again.

    Example: `banditloop dead-letters replay --topic rewards`
    """
    bus = connect(load_config(config)).bus
    with doing("publishing dead letters", as_json):
        replayed = {name: bus.replay(name) for name in _topics(topic)}
    display.json_or_text(replayed, as_json, "\n".join(f"{name}: replayed {count}" for name, count in replayed.items()))


def _topics(topic: str) -> list[str]:
    if topic and topic not in KEYS:
        raise InvalidInput(f"topic {topic!r}: is not one of: {', '.join(KEYS)}")
    return [topic] if topic else list(KEYS)
