"""The command that upgrades a warehouse of an older schema version."""

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, load_config
from banditloop.rl_core.backends import connect


def upgrade(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Copy the decisions of schema version 2 into the tables of this one. Stop the loop before.

    Atomic and idempotent: killed, it starts again; done, it does nothing. The old table stays, and can be deleted.

    Example: `banditloop upgrade -c loop.toml`
    """
    warehouse = connect(load_config(config)).warehouse
    with display.console.status("copying decisions of schema version 2 …"):
        copied = warehouse.upgrade()
    text = f"copied {copied:,} decisions" if copied else "nothing to upgrade"
    display.json_or_text({"copied": copied}, as_json, text)
