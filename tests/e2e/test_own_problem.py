"""End to end, a news site in a folder of its own: from a log to a served loop that learns, then to other articles."""

import contextlib
import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.support.processes import free_port, wait_until

ARTICLES = ["politics", "sport", "music", "film", "science", "travel", "food"]
NEW_ARTICLES = [
    "election",
    "weather",
]  # of day 2, in place of the first two: one that most click on, and one that few do
COUNTRIES, DEVICES = ["de", "fr", "uk", "us"], ["phone", "tablet", "desktop"]
VISITS_BETWEEN = 100  # checks that the loop has kept up
MEASURED = slice(1500, 2000)


class Shown(NamedTuple):
    """An article that a visitor saw, its click probability, that of the best one, and the version that chose it."""

    article: str
    probability: float
    best: float
    version: str


class Site:
    """Simulated visitors. The logit of a click is linear in age, country and device, differently for each article."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(2)
        scale = np.array([0.5, 1.2, *[1.1] * (len(COUNTRIES) + len(DEVICES))])
        weights = self._random.normal(size=(len(ARTICLES), len(scale))) * scale
        weights[:, 0] -= 1.3
        self._weights = dict(zip(ARTICLES, weights, strict=True))
        self._weights |= {"election": np.array([2.5, *[0.0] * 8]), "weather": np.array([-2.5, *[0.0] * 8])}

    def context(self) -> dict:
        age, country, device = (
            self._random.uniform(18, 80),
            self._random.choice(COUNTRIES),
            self._random.choice(DEVICES),
        )
        return {"age": round(float(age), 1), "country": str(country), "device": str(device)}

    def click_probability(self, context: dict, article: str) -> float:
        features = [1.0, (context["age"] - 49) / 18]
        features += [context["country"] == country for country in COUNTRIES]
        features += [context["device"] == device for device in DEVICES]
        return float(1 / (1 + np.exp(-np.dot(self._weights[article], features))))

    def is_clicked(self, probability: float) -> bool:
        return bool(self._random.random() < probability)

    def write_log(self, path: Path, rows: int) -> None:
        """What the site logged before: articles drawn at random, and clicks."""
        with path.open("w", newline="") as file:
            log = csv.writer(file)
            log.writerow(["request", "time", "age", "country", "device", "article", "click"])
            for row in range(rows):
                context, article = self.context(), str(self._random.choice(ARTICLES))
                clicked = self.is_clicked(self.click_probability(context, article))
                log.writerow([f"r{row}", f"2026-01-01T00:{row % 60:02d}:00", *context.values(), article, int(clicked)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("site")


def banditloop(*words):
    return [sys.executable, "-m", "banditloop.pipelines", *map(str, words)]


@contextlib.contextmanager
def serving(config: Path, output: Path, *options: str):
    """`banditloop serve` from another folder than the config's, and without a terminal."""
    variables = {key: value for key, value in os.environ.items() if key != ENVIRONMENT_VARIABLE}
    endpoint = connect(Config.load(config)).endpoint
    with (
        output.open("ab") as file,
        subprocess.Popen(
            banditloop("serve", "-c", config, *options), cwd="/", env=variables, stdout=file, stderr=file
        ) as server,
    ):
        try:
            wait_until(endpoint.serving_versions)
            yield
        finally:
            server.terminate()  # SIGINT is ignored where the tests run in the background
            try:
                assert server.wait(60) == 0
            finally:
                server.kill()


def visit(site: Site, application, config: Config, visits: int, articles: list[str]) -> list[Shown]:
    """Let visitors come, and the loop keep up; what each saw."""
    platform = connect(config)
    shown: list[Shown] = []
    before = logged(platform)
    for number in range(visits):
        context = site.context()
        decision = application.decide(context, user=f"visitor {before + number}")
        probability = site.click_probability(context, decision.action)
        application.reward(decision.event_id, site.is_clicked(probability))
        best = max(site.click_probability(context, article) for article in articles)
        shown.append(Shown(decision.action, probability, best, decision.policy_version))
        if number % VISITS_BETWEEN == VISITS_BETWEEN - 1:
            wait_until(lambda: logged(platform) >= before + len(shown))
            wait_until(lambda: keeps_up(config, platform), seconds=300)
    return shown


def versions(platform) -> list[str]:
    return [manifest.version for manifest in platform.endpoint.versions()]


def logged(platform) -> int:
    return sum(row["rewarded"] for row in platform.warehouse.policy_totals())


def keeps_up(config: Config, platform) -> bool:
    """Whether nothing is due: no retraining, no check of a canary, no version to load."""
    if any(run.state == "running" for run in platform.runner.runs()):
        return False
    release, versions = platform.endpoint.release(), platform.endpoint.versions()
    if set(platform.endpoint.serving_versions()) != set(release.traffic()):
        return False
    if release.evidence and release.challenger:
        unchecked = platform.warehouse.window(release.evidence.until).interactions
        if unchecked >= config.release.check_every_interactions:
            return False
    needed = config.retraining.needed(versions[-1].interactions)
    return platform.warehouse.window(versions[-1].window.until).interactions < needed


def test_a_news_site_learns_from_nothing_and_goes_on_when_articles_change(folder):
    site, log, shop = Site(), folder / "log.csv", folder / "news"
    site.write_log(log, 300)
    command = banditloop("init", shop, "--from", log, "--feature", f"device={','.join(DEVICES)}", "--port", free_port())
    subprocess.run(command, check=True, cwd="/")
    text = (shop / "loop.toml").read_text()
    assert "min_new_interactions = 200\n" in text
    rarely = text.replace(
        "min_new_interactions = 200", "min_new_interactions = 250\ngrowth = 10.0"
    )  # each takes seconds
    (shop / "loop.toml").write_text(rarely)
    config = Config.load(shop / "loop.toml")
    assert config.task.context == {"age": "number", "country": "category", "device": DEVICES}
    assert config.task.actions == sorted(ARTICLES)
    application = load(shop / "application.py")
    platform = connect(config)

    with serving(shop / "loop.toml", folder / "serve.txt"):
        first = application.decide(site.context(), user="the first")
        assert first.policy_version == RANDOM
        application.reward(first.event_id, False)  # or all later ones would wait for the end of its window
        shown = visit(site, application, config, MEASURED.stop, ARTICLES)
    lines = (folder / "serve.txt").read_text().splitlines()
    assert f"serves at {application.URL}" in lines[0]
    assert all(re.match(r"\d\d:\d\d:\d\d [a-z ]{11} ", line) for line in lines), lines
    told = [line[9:20].strip() for line in lines]
    steps = [told.index(what) for what in ("serving", "started", "trained", "judged", "promoted")]
    assert steps == sorted(steps)
    assert told[-1] == "stopped"
    assert not {"failed", "restarted", "warning"} & set(told), lines
    assert f"champion instead of {RANDOM}" in lines[steps[-1]]
    promotions = [verdict for verdict in platform.endpoint.verdicts() if verdict.decision == "promote"]
    assert promotions[0].champion == RANDOM
    assert promotions[0].by in ("evaluator", "monitor")
    # Articles drawn at random have .44, the best single one .62. The first policy, trained on few visits, has .75, and
    # may serve half of the users for long; later ones have .9 to .97.
    assert share_of_best([visit for visit in shown if visit.version == RANDOM]) < 0.6
    early = (RANDOM, promotions[0].version)
    assert share_of_best([visit for visit in shown[MEASURED] if visit.version not in early]) >= 0.85

    articles = [*NEW_ARTICLES, *ARTICLES[2:]]
    text = (shop / "loop.toml").read_text()
    (shop / "loop.toml").write_text(re.sub(r"(?m)^actions = .*$", f"actions = {json.dumps(articles)}", text))
    with serving(shop / "loop.toml", folder / "serve.jsonl", "--log-format", "json"):
        shown = visit(site, application, Config.load(shop / "loop.toml"), 1500, articles)
    events = [json.loads(line) for line in (folder / "serve.jsonl").read_text().splitlines()]
    assert {"serving", "started", "trained", "judged", "finished", "stopped"} <= {event["event"] for event in events}
    assert all(event["version"] in versions(platform) for event in events if event["event"] == "judged")
    counts = Counter(visit.article for visit in shown)
    assert set(NEW_ARTICLES) <= counts.keys() <= set(articles)  # none that was taken away
    assert Counter(visit.article for visit in shown[-300:]).most_common(1)[0][0] == "election"
    assert sorted(path.name for path in shop.iterdir()) == ["README.md", "application.py", "loop", "loop.toml"]


def share_of_best(shown: list[Shown]) -> float:
    """The expected clicks on what was shown, as a share of those on the best articles."""
    return sum(visit.probability for visit in shown) / sum(visit.best for visit in shown)


def load(path: Path):
    """The example application as a module."""
    spec = importlib.util.spec_from_file_location("application", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
