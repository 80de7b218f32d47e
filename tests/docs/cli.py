"""The command line as Markdown: every command with its help, examples and options. And a check of command lines."""

import re
import shlex
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import typer

from banditloop.pipelines.cli.main import app
from tests.docs.pages import without_redirection
from tests.docs.tables import table

ROOT_COMMAND: Any = typer.main.get_command(app)
PROGRAM = "banditloop"
EXAMPLE = re.compile(r"Example: ")
KINDS = {int: "N", float: "X", str: "TEXT"}


def leaves() -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its full name."""
    for name, command in ROOT_COMMAND.commands.items():
        if subcommands := getattr(command, "commands", None):
            yield from ((f"{name} {verb}", subcommand) for verb, subcommand in subcommands.items())
        else:
            yield name, command


def reference() -> str:
    """A table of all commands, and a section for each."""
    rows = [[f"[{name}](#{PROGRAM}-{name.replace(' ', '-')})", _summary(command)] for name, command in leaves()]
    return "\n\n".join([table(["command", ""], rows), *(_section(name, command) for name, command in leaves())])


def _summary(command: Any) -> str:
    """The first line of a command's help."""
    return command.help.split("\n\n")[0].replace("\n", " ")


def _section(name: str, command: Any) -> str:
    text = "\n\n".join(paragraph for paragraph in command.help.split("\n\n") if not EXAMPLE.match(paragraph))
    arguments = [parameter for parameter in command.params if not _is_option(parameter)]
    options = [parameter for parameter in command.params if _is_option(parameter)]
    usage = " ".join([PROGRAM, name, *map(_placeholder, arguments), *(["[OPTIONS]"] if options else [])])
    parts = [f"## {PROGRAM} {name}", text, f"Usage: `{usage}`"]
    if rows := [[f"`{_placeholder(parameter)}`", parameter.help or ""] for parameter in arguments]:
        parts.append(table(["argument", ""], rows))
    if rows := [[_flag(parameter), _default(parameter), parameter.help or ""] for parameter in options]:
        parts.append(table(["option", "default", ""], rows))
    return "\n\n".join([*parts, "```sh\n" + "\n".join(examples(command)) + "\n```"])


def examples(command: Any) -> list[str]:
    """The command lines in the examples of a command's help."""
    paragraphs = filter(EXAMPLE.match, command.help.split("\n\n"))
    return [line for paragraph in paragraphs for line in re.findall(r"`([^`]+)`", paragraph)]


def _is_option(parameter: Any) -> bool:
    return parameter.opts[0].startswith("-")


def _placeholder(parameter: Any) -> str:
    return parameter.metavar or parameter.name.upper()


def _flag(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    return names if parameter.is_flag else f"{names} {_value(parameter)}"


def _value(parameter: Any) -> str:
    if parameter.metavar:
        return parameter.metavar
    annotation = parameter.type_descriptor.annotation
    if type(None) in get_args(annotation):
        [annotation] = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) is Literal:
        return " or ".join(get_args(annotation))
    return KINDS.get(annotation, "PATH")


def _default(parameter: Any) -> str:
    return f"`{parameter.default}`" if parameter.default not in (None, False, "", [], ()) else ""


def check(line: str) -> None:
    """Parse a command line of ours with the command line's own parser; raises what is wrong with it."""
    program, *words = shlex.split(without_redirection(line), comments=True)
    assert program == PROGRAM, line
    command = ROOT_COMMAND
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            break
        name = words.pop(0)
        assert name in command.commands, f"{line}: there is no command {name!r}"
        command = command.commands[name]
    context = command.make_context(command.name, words, resilient_parsing=False)
    assert context is not None
