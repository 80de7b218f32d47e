"""ReAgent's table of logged episodes (its TimelineOperator's input): which column is what.

state_features is a map of numbers or texts by feature, or a struct, or an object in JSON: feature 3 is called
state_features_3 in a task, as `init --from` proposes. metrics is a map of rewards by name: those in `episodes.rewards`
and `episodes.metrics` are imported. possible_actions has the ids of the candidates. A row without an action_probability
was chosen in an unknown way: training uses it, and what needs a propensity leaves it out. The table has whole episodes:
the last row of each is terminal, unless `last_step` says otherwise. A row is one step after the row before it, whatever
their sequence numbers, as in ReAgent; mapping step to sequence_number corresponds to use_seq_num_diff_as_time_diff
there. (github.com/facebookresearch/ReAgent, docs/usage)
"""

MAPPING = {
    "episode_id": "mdp_id",
    "step": "sequence_number",
    "timestamp": "ds",
    "action": "action",
    "reward": "reward",
    "propensity": "action_probability",
    "candidates": "possible_actions",
}
