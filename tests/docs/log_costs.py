"""The table of the logger's costs on Google Cloud, as Markdown."""

from tests.docs import tables
from tests.support.log_costs import LOAD_JOBS_A_DAY, example

RATES, MINUTES = (1, 10, 100), (1, 5, 30)
HEADER = [
    "decisions a second",
    "`logger_minutes`",
    "load jobs a day",
    "of the limit",
    "TiB billed a month",
    "BigQuery",
    "Pub/Sub",
    "function",
    "dollars a month",
]


def table() -> str:
    """A row for each rate and each pause of the logger function."""
    return tables.table(HEADER, [_row(rate, minutes) for rate in RATES for minutes in MINUTES])


def _row(rate: int, minutes: int) -> list[str]:
    costs = example(rate, minutes)
    dollars = (costs.bigquery, costs.pubsub, costs.function, costs.total)
    share = f"{100 * costs.load_jobs / LOAD_JOBS_A_DAY:.1f} %"
    return [
        f"{rate}",
        f"{minutes}",
        f"{costs.load_jobs:,.0f}",
        share,
        f"{costs.tib:,.1f}",
        *(f"{d:,.0f}" for d in dollars),
    ]
