"""The engine's memory is bounded on every machine, and what does not fit goes to the disk."""

from banditloop.rl_core.backends.local.database import database

ROWS = 3_000_000


def test_a_query_beyond_the_memory_limit_writes_to_the_disk(tmp_path):
    with database(tmp_path / "spill") as connection:
        [(limit, zone)] = connection.sql(
            "SELECT current_setting('memory_limit'), current_setting('TimeZone')"
        ).fetchall()
        assert (limit, zone) == ("953.6 MiB", "UTC")
        connection.execute("SET memory_limit = '60MB'")
        connection.execute(f"CREATE TABLE numbers AS SELECT hash(i) AS number FROM range({ROWS}) rows(i)")
        connection.execute("CREATE TABLE ordered AS SELECT * FROM numbers ORDER BY number")
        assert list((tmp_path / "spill").iterdir())
        assert connection.sql("SELECT count(*) FROM ordered").fetchall() == [(ROWS,)]
