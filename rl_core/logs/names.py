"""Usual names of a log's columns, by which they are found where no mapping names them."""

import re

ACTION_NAMES = (
    *("action", "arm", "choice", "article", "item", "offer", "product", "variant", "treatment", "banner", "ad"),
    *("movie", "option", "content", "creative", "campaign", "recommendation"),
)
REWARD_NAMES = (
    *("reward", "click", "clicks", "clicked", "is_click", "conversion", "converted", "purchase", "purchased"),
    *("bought", "rating", "revenue", "outcome", "label", "score", "success"),
)
PROPENSITY_NAMES = (
    *("propensity", "propensity_score", "pscore", "probability", "prob", "p"),
    *("action_prob", "action_probability", "logging_probability"),
)
EPISODE_NAMES = ("episode", "mdp", "trajectory")
STEP_NAMES = ("step", "timestep", "time_step", "sequence_number")
USUAL_NAMES = {
    "action": ACTION_NAMES,
    "reward": REWARD_NAMES,
    "propensity": PROPENSITY_NAMES,
    "candidates": ("possible_actions",),  # ReAgent's
    "episode_id": EPISODE_NAMES,
    "step": STEP_NAMES,
    "terminal": ("terminated", "termination", "terminations"),  # Gymnasium's and Minari's
    "truncated": ("truncation", "truncations"),
}


def bare_name(column: str) -> str:
    """The name of a column in lower case without usual prefixes and suffixes: chosen_article_id is an article."""
    name = re.sub(r"\W+", "_", column).strip("_").lower()
    return re.sub(r"^(chosen|shown|selected|displayed)_|_(id|name)$", "", name)
