"""The texts of the files that `banditloop init` writes, as templates of str.format."""

CONFIG = """\
# The loop {endpoint}. Paths belong to this file's folder. `banditloop config show -c loop.toml` prints every key.

[task]  # what is decided
actions = {actions}  # they may come and go
reward_range = {reward_range}  # smallest and largest reward

[task.context]  # what is known of a visit, by name. Kinds: "number", "boolean", "category" (any text, unseen ones too),
# a list of the only possible texts, "categories" (a set of any texts), {{vector = LENGTH}}. Values may be missing.
{context}

[task.action_features]  # what is known of an action, by name, likewise; requests give the values

[reward]
attribution_window_seconds = 600  # a reward counts if it comes within this time after its decision
default = {default}  # reward of a decision without any; "ignore" leaves such decisions out

[agent]
name = "linear_thompson"

[policy]
exploration = 0.01  # fraction of decisions drawn uniformly, from which other policies can be evaluated
saved_model = false  # true: also write every policy as a TF-Agents SavedModel, which takes seconds

[retraining]  # as soon as either holds
min_new_interactions = 200
max_interval_seconds = 3600
template = "loop/pipelines/retraining.yaml"

[release]
canary_percent = 50  # of the visits, for a new policy that is not proved better yet

[serving]
port = {port}

[backend]
name = "local"
root = "loop"  # everything that the loop stores
endpoint = "{endpoint}"
"""

APPLICATION = '''\
"""An example application of the endpoint {endpoint}, which `banditloop serve -c loop.toml` serves."""

import random

import banditloop

URL = "http://127.0.0.1:{port}"
CONTEXTS = [
{contexts}
]
client = banditloop.Client(URL)


def decide(context, user):
    return client.rank(context, user=user{candidates})  # event_id, action, propensity, policy_version


def reward(event_id, value):
    client.reward(event_id, value)


if __name__ == "__main__":  # SIMULATED visitors, who prefer one action: put your own in their place
    for visit in range(500):
        decision = decide(random.choice(CONTEXTS), user=f"simulated-{{visit}}")
        is_good = random.random() < (0.6 if decision.action == {favourite} else 0.2)
        reward(decision.event_id, {value})
'''

README = """\
# {endpoint}

A loop that learns which action to choose. `loop.toml` says what is decided; `application.py` is an example.

    banditloop serve -c loop.toml           # the endpoint, the log and the retraining, until Ctrl-C
    python application.py                   # SIMULATED visitors, to see it learn
    banditloop status -c loop.toml          # versions, traffic, interactions waiting for training
    banditloop release report -c loop.toml  # a page about what is served

The first policy chooses uniformly. Training, evaluation and release follow by themselves: a new policy serves a part
of the visits until it is proved better. Simulated visits stay in the log: before the first real one, stop serving
and remove the folder `loop`.

Ask for a decision, with a `user` key that gets the same version at every visit, and send the reward with the
decision's `event_id`. (A decision without any {unrewarded} after `reward.attribution_window_seconds`.)

    curl -s http://127.0.0.1:{port}/predict -H 'Content-Type: application/json' -d {predict}
    curl -s http://127.0.0.1:{port}/reward -H 'Content-Type: application/json' -d {reward}

`/openapi.json` describes the requests.
{notes}"""
