"""The documentation: what is generated is up to date, links lead somewhere, commands and configs parse."""

import configparser
import json
import re
import tomllib
from xml.etree import ElementTree

import pytest
import typer

from banditloop.rl_core.config import Config
from banditloop.rl_core.serving.predict_request import read_predict_request
from banditloop.rl_core.serving.reward_request import read_rewards
from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task
from tests.docs import cli, learning_curve
from tests.docs.generated import GENERATED, regenerated
from tests.docs.pages import NEIGHBOURS, PAGES, README, ROOT, RUN, Block, anchors, blocks, commands, links, prose

OUTPUT = {"", "text", "json", "ini"}  # what a reader sees or writes elsewhere, and nobody runs
PROGRAMS = {".", "banditloop", "bq", "curl", "export", "journalctl", "make", "pip", "podman", "python", "systemctl"}
SHELL = [block for page in PAGES for block in blocks(page, "sh")]
FIELD = ["off-policy evaluation", "counterfactual", "A/B test", "feature", "exploration", "contextual bandit"]
FIELD += ["multi-armed bandit", "canary", "propensit"]


@pytest.mark.parametrize("page", GENERATED, ids=lambda page: page.name)
def test_the_reference_is_what_the_code_says(page):
    assert page.read_text() == regenerated(page), "run `make docs`"


def test_every_command_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert [name for name, _ in cli.leaves() if f"## banditloop {name}\n" not in text] == []


def test_every_command_has_an_example():
    assert [name for name, command in cli.leaves() if not cli.examples(command)] == []


def test_the_readme_is_one_screen_to_start_and_has_the_words_of_the_field():
    text = README.read_text()
    assert len(text.split()) <= 900
    assert [word for word in FIELD if word.lower() not in " ".join(text.lower().split())] == []


def test_the_readme_says_when_its_loop_learns():
    """Rewards that a reader sends by hand are in time, and the first training needs as many interactions as it says."""
    [block] = blocks(README, "toml")
    config = Config.parse(tomllib.loads(block.text))
    needed = config.retraining.needed(0)
    assert f"after {needed} interactions, each with its reward or ten minutes old" in " ".join(prose(README).split())
    assert config.reward.attribution_window_seconds == 600


@pytest.mark.parametrize("page", [*PAGES, *NEIGHBOURS], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_page_and_a_heading_of_it(page):
    for link in links(page):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(README)}
    assert [page.name for page in PAGES if page not in linked | {README}] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_its_language(page):
    languages = re.findall(r"^```(\w*)\n.*?^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert set(languages) <= {"sh", "toml", "python", *OUTPUT}
    assert not re.findall(r"^    \S.*$", prose(page), re.MULTILINE), "commands stand in fenced blocks"


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_parses(block: Block):
    targets = re.findall(r"^([a-z%-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in commands(block):
        program, *words = line.split()
        assert program in PROGRAMS, line
        if program == "banditloop":
            cli.check(line)
        if program == "make":
            assert words[0] in targets, line


@pytest.mark.parametrize("line", ["banditloop sreve", "banditloop serve --cnofig x", "banditloop run start"])
def test_a_wrong_command_does_not_parse(line):
    with pytest.raises((AssertionError, typer.TyperException)):
        cli.check(line)


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "toml")], ids=str)
def test_every_config_is_valid(block: Block):
    values = tomllib.loads(block.text)
    values = values.get("config", values)  # in the parameters of a run
    environment = values.get("environment", {})
    if ":" in environment.get("name", ""):  # a class of the reader's own
        values["environment"] = {"name": "linear"}
    if environment.get("ratings"):  # in a bucket: what is decided is read from there
        values["task"] = {"actions": 20, "context": {"observation": {"vector": 20}}}
    Config.parse(values)


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "json")], ids=str)
def test_every_json_is_an_answer_or_a_request_that_is_understood(block: Block):
    content = json.loads(block.text)
    assert content.keys() & {"instances", "predictions", "rewards"}
    if "rewards" in content:
        read_rewards(block.text.encode(), Task.parse({"actions": 2}), RewardSection())
    if "instances" in content:
        read_predict_request(block.text.encode())


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "ini")], ids=str)
def test_every_unit_of_systemd_runs_a_command_that_parses(block: Block):
    unit = configparser.ConfigParser()
    unit.optionxform = str
    unit.read_string(block.text)
    folder, _, command = unit["Service"]["ExecStart"].rpartition("/bin/")
    assert folder.startswith(unit["Service"]["WorkingDirectory"])
    cli.check(command)


@pytest.mark.parametrize("block", [block for page in RUN for block in blocks(page, "python")], ids=str)
def test_every_python_block_compiles(block: Block):
    compile(block.text, str(block), "exec")


def test_the_picture_of_the_learning_curve_shows_the_figures_that_it_names():
    text = learning_curve.PICTURE.read_text()
    ElementTree.fromstring(text)
    assert len(text) < 10_000
    assert text == learning_curve.svg(json.loads(learning_curve.METADATA.search(text)[1]))


def test_the_picture_is_drawn_from_the_summary_of_a_loop():
    version = {"status": "champion", "interactions": 10, "value": 1.0}
    versions = [version | {"version": "random"}, version | {"version": "v1-0a1b2c3d", "value": 2.0}]
    summary = {"oracle": 3.0, "best_fixed": 2.0, "uniform": 1.0, "versions": versions}
    shown = learning_curve.figures(summary)
    assert shown["points"] == [["random", 0, 1.0, "champion"], ["v1", 10, 2.0, "champion"]]
    circles = ElementTree.fromstring(learning_curve.svg(shown)).iter("{http://www.w3.org/2000/svg}circle")
    heights = [float(circle.get("cy")) for circle in circles]
    assert heights[1] < heights[0]  # a better version is higher
