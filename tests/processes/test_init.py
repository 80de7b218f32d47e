"""`banditloop init`: the files of a new loop from options, a log or answers, or nothing; and what reads them."""

import json
import os
import pty
import shlex
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from banditloop.pipelines.cli.main import app
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE

COUNTRIES, ARTICLES = ("de", "fr", "uk"), ("sport", "food", "music", "film")
LOG = "event_id,Age (years),country,article,propensity,click\n" + "".join(
    f"e{row},{20 + row * 0.5},{COUNTRIES[row % 3]},{ARTICLES[row % 4]},0.25,{row % 2}\n" for row in range(50)
)
FILES = ["README.md", "application.py", "loop.toml"]


def init(*words):
    """The output of the command on a terminal of 80 columns; raises what it raises."""
    result = CliRunner().invoke(app, ["init", *map(str, words)], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


def test_a_loop_is_written_from_a_log(log, tmp_path):
    folder = tmp_path / "The News 2"
    output = init(folder, "--from", log)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    config = Config.load(folder / "loop.toml")
    assert config.task.actions == ["film", "food", "music", "sport"]
    assert config.task.reward_range == [0, 1]
    assert config.task.context == {"Age_years": "number", "country": "category"}
    assert config.backend.endpoint == "the-news"
    assert "event_id" in output
    assert "looks like an id" in output
    assert "Age (years): is called Age_years" in (folder / "README.md").read_text()
    lines = output.replace(str(folder), "DIR").splitlines()
    assert lines[-3].endswith("next: banditloop serve -c 'DIR/loop.toml'")  # to be copied, whatever the folder's name
    assert lines[-2] == "to learn from the log, too, import it once:"
    command = shlex.split(output.splitlines()[-1])
    assert command[:2] == ["banditloop", "import"]
    result = CliRunner().invoke(app, [*command[1:], "--json"])
    assert json.loads(result.output)["added"] == 50, result.output
    assert max(map(len, lines[:-1])) <= 80, lines  # the last one is a command to copy


@pytest.mark.parametrize(
    "names",
    [("mdp_id", "sequence_number"), ("episode_id", "step"), ("trajectory", "timestep"), ("episode", "time_step")],
)
@pytest.mark.parametrize("others", [(), ("metrics.taps", "possible_actions", "terminated")])
def test_the_printed_command_imports_a_log_of_episodes(names, others, tmp_path):
    episodes = [dict(zip(names, (row // 5, row % 5), strict=True)) for row in range(50)]
    values = {"metrics.taps": 1, "possible_actions": ["left", "right"], "terminated": False}
    rows = [
        {"Age (years)": 20 + row * 0.5, "arm": ("left", "right")[row % 2], "won": row % 2, "p": 0.5}
        | episodes[row]
        | {name: values[name] for name in others}
        for row in range(50)
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    command = shlex.split(init(tmp_path / "new", "--from", log, "--reward", "won").splitlines()[-1])
    imported = CliRunner().invoke(app, [*command[1:], "--json"])
    assert not imported.exception, imported.exception
    assert json.loads(imported.stdout)["added"] == 50
    assert json.loads(imported.stdout)["columns"]["episode_id"] == names[0]


def test_the_application_is_valid_short_and_says_that_its_visitors_are_simulated(log, tmp_path):
    for words in (["--from", log], ["--actions", 7, "--feature", "x=vector:50"], ["--actions", "open"]):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        init(folder, *words)
        text = (folder / "application.py").read_text()
        compile(text, "application.py", "exec")
        assert len(text.splitlines()) <= 30
        assert "SIMULATED" in text
        assert "SIMULATED" in (folder / "README.md").read_text()


def test_options_take_precedence_over_the_log(log, tmp_path):
    words = ["--actions", "sport,food,opera", "--feature", "country=de,fr,uk", "--feature", "age=number"]
    content = json.loads(init(tmp_path / "new", "--from", log, *words, "--reward-range", "-1,2", "--json"))
    task = Config.load(tmp_path / "new" / "loop.toml").task
    assert task.actions == ["sport", "food", "opera"]
    assert task.context == {"Age_years": "number", "country": ["de", "fr", "uk"], "age": "number"}
    assert task.reward_range == [-1, 2]
    assert content["task"] == task.model_dump(mode="json")
    assert content["files"] == [str(tmp_path / "new" / name) for name in FILES]
    assert content["notes"]["click"] == "the reward"


def test_names_of_any_characters_are_written_as_they_are(tmp_path):
    ids = ['"quoted"', "back\\slash", "tab\there", "Zürich 日本", "{braces}", "it's"]
    words = ["--actions", ",".join(ids), "--feature", f"place={','.join(ids)}"]
    init(tmp_path / "new", *words, "--endpoint", "shop", "--port", 9000)
    config = Config.load(tmp_path / "new" / "loop.toml")
    assert config.task.actions == config.task.context["place"] == ids
    assert (config.backend.endpoint, config.serving.port) == ("shop", 9000)
    compile((tmp_path / "new" / "application.py").read_text(), "application.py", "exec")


def test_a_range_without_zero_ignores_decisions_without_a_reward(tmp_path):
    init(tmp_path / "new", "--actions", 3, "--reward-range", "1,5")
    assert Config.load(tmp_path / "new" / "loop.toml").reward.default == "ignore"


def test_numbers_are_written_exactly(tmp_path):
    output = init(tmp_path / "new", "--actions", 3, "--reward-range", "-0.1,123456.75")
    assert Config.load(tmp_path / "new" / "loop.toml").task.reward_range == [-0.1, 123456.75]
    assert "rewards: -0.1 to 123456.75" in output
    assert "123456.75 if is_good else -0.1" in (tmp_path / "new" / "application.py").read_text()
    init(tmp_path / "whole", "--actions", 3, "--reward-range", "0,1e6")
    assert "reward_range = [0, 1000000]" in (tmp_path / "whole" / "loop.toml").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--actions: is missing"),
        (["--actions", 3, "--reward-range", "0,1234564"], "--reward-range '0,1234564': has values beyond 1,000,000"),
        (["--actions", 3, "--reward-range", "NaN,1"], "--reward-range 'NaN,1': give the smallest"),
        (["--actions", 3, "--reward-range", "0,1e999"], "--reward-range '0,1e999': has values beyond 1,000,000"),
        (["--actions", 3, "--reward-range", "0,1_0"], "--reward-range '0,1_0': give the smallest"),
        (["--actions", "one"], r"task.actions = \['one'\]"),
        (["--actions", 3, "--feature", "age"], "--feature 'age': give NAME=KIND"),
        (["--actions", 3, "--feature", "age=numbr"], "task.context.age = 'numbr': is not a kind"),
        (["--actions", 3, "--reward-range", "low"], "--reward-range 'low'"),
        (["--actions", 3, "--reward-range", "1,0"], "task.reward_range"),
        (["--actions", 3, "--endpoint", "No Spaces"], "backend.endpoint = 'No Spaces'"),
        (["--actions", 3, "--action", "article"], "name columns of a log"),
        (["--from", "LOG", "--action", "articles"], "--action 'articles': give one of the log's columns: event_id"),
        (["--from", "LOG", "--reward", "country"], "rewards are numbers"),
        (["--from", "none.csv"], "No such file"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_written(words, message, log, tmp_path):
    with pytest.raises(InvalidInput, match=message) as error:
        init(tmp_path / "new", *(log if word == "LOG" else word for word in words))
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize("name", FILES)
def test_files_that_exist_are_never_overwritten(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InvalidInput, match=f"{name}: exists already"):
        init(tmp_path, "--actions", 3)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_all_files_are_written_or_none(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "loop.toml").symlink_to("nowhere")  # seen by nobody who asks whether it exists
    with pytest.raises(FileExistsError):
        init(tmp_path / "new", "--actions", 3)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["loop.toml"]


def test_in_a_terminal_it_asks(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "banditloop.pipelines", "init", "new"]
    environment = {key: value for key, value in os.environ.items() if key != ENVIRONMENT_VARIABLE}
    with subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as child:
        os.write(ours, b"sport,food\nage=number\n\n")
        assert child.wait(120) == 0
    task = Config.load(tmp_path / "new" / "loop.toml").task
    assert task.actions == ["sport", "food"]
    assert task.context == {"age": "number"}


READ_ONLY = [
    "status",
    "warehouse",
    "release versions",
    "run list",
    "dead-letters list",
    "schedule list",
    "config show",
]
REFUSED = ["release traffic", "release report", "run logs none"]  # there is nothing to show yet


@pytest.mark.parametrize("command", [*READ_ONLY, *REFUSED])
def test_a_verb_that_only_shows_creates_nothing(command, tmp_path, monkeypatch):
    init(tmp_path / "new", "--actions", 3)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(app, [*command.split(), "-c", "new/loop.toml"])
    assert isinstance(result.exception, InvalidInput) if command in REFUSED else result.exit_code == 0, result
    assert sorted(tmp_path.rglob("*")) == before


def test_the_loop_of_simulated_users_needs_an_environment(tmp_path):
    init(tmp_path / "new", "--actions", 3)
    result = CliRunner().invoke(app, ["loop", "-c", str(tmp_path / "new" / "loop.toml")])
    assert isinstance(result.exception, InvalidInput)
    assert str(result.exception).startswith("environment: is missing; `banditloop loop` simulates")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == FILES
