"""The CSV of the Open Bandit Dataset: which column is what. (Saito et al., NeurIPS Datasets and Benchmarks 2021.)

It has the propensity of the item that was shown at its position. Its first column has no name and numbers the rows of
one file: with the prefix of a `source` they are unique ids. Affinities are a vector in numbered columns: a task names
it user_item_affinity.
"""

MAPPING = {
    "event_id": "",
    "timestamp": "timestamp",
    "action": "item_id",
    "propensity": "propensity_score",
    "reward": "click",
}
