"""The commands that mend a warehouse: of an older schema version, or written while the clock was ahead."""

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, load_config
from banditloop.pipelines.cli.progress import doing
from banditloop.rl_core.backends import connect


def upgrade(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Copy the decisions of schema version 2 into the tables of this one. Stop the loop before.

    Atomic and idempotent: killed, it starts again; done, it does nothing. The old table stays, and can be deleted.

    Example: `banditloop upgrade -c loop.toml`
    """
    warehouse = connect(load_config(config)).warehouse
    with doing("copying decisions of schema version 2", as_json):
        copied = warehouse.upgrade()
    text = f"copied {copied:,} decisions" if copied else "nothing to upgrade"
    display.json_or_text({"copied": copied}, as_json, text)


def repair(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Give rows that were logged while the clock was ahead the present time, so that they are learned from.

    Later rows do not wait for them. On one machine, data files of the log that are damaged are set aside, too, as
    *.damaged. Idempotent; the loop may run.

    Example: `banditloop repair -c loop.toml`
    """
    with doing("repairing the log", as_json):
        repaired = connect(load_config(config)).warehouse.repair()
    text = f"repaired {repaired:,} rows" if repaired else "nothing to repair"
    display.json_or_text({"repaired": repaired}, as_json, text)
