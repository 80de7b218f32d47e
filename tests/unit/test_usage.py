"""What a block used: time, memory of its processes too, bytes of files, rows."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from banditloop.rl_core.usage import usage

CHILD_MEGABYTES = 150
CHILD = f"memory = bytearray({CHILD_MEGABYTES} * 10**6); print('ready', flush=True); input()"


def test_rows_and_the_bytes_of_files_and_folders_are_counted(tmp_path):
    found, written = {}, tmp_path / "examples"
    (tmp_path / "log.csv").write_bytes(bytes(1000))
    with usage(found.__setitem__, [tmp_path / "log.csv", tmp_path / "missing"], [written]) as count_rows:
        (written / "inner").mkdir(parents=True)
        for name in ("a", "inner/b"):
            (written / name).write_bytes(bytes(300))
        time.sleep(0.1)
        count_rows(500)
    assert {key: found[key] for key in ("bytes_read", "bytes_written", "rows")} == {
        "bytes_read": 1000,
        "bytes_written": 600,
        "rows": 500,
    }
    assert found["seconds"] >= 0.1
    assert found["rows_per_second"] == pytest.approx(500 / found["seconds"], rel=0.02)


def test_memory_and_cpu_are_those_of_the_processes_that_it_starts_too():
    found, before = {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    with (
        subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,
        usage(found.__setitem__),
    ):
        assert child.stdout.readline() == b"ready\n"
        spent = time.process_time()
        while time.process_time() < spent + 0.05:
            pass
    assert CHILD_MEGABYTES < found["peak_memory_mb"] < before * 1.1 + 2 * CHILD_MEGABYTES
    assert found["cpu_seconds"] >= 0.04  # as clocks of the system tick
    assert "rows" not in found


def test_a_kernel_that_does_not_tell_the_peak_fails_no_task(monkeypatch):
    """gVisor's, under Cloud Run and GKE Sandbox."""
    read, found = Path.read_text, {}

    def without_peak(path):
        lines = read(path).splitlines()
        return "\n".join(line for line in lines if not line.startswith("VmHWM"))

    monkeypatch.setattr(Path, "read_text", without_peak)
    with usage(found.__setitem__):
        pass
    assert found["peak_memory_mb"] > 1


def test_what_fails_has_used_nothing():
    found = {}
    with pytest.raises(ValueError, match="broken"), usage(found.__setitem__):
        raise ValueError("broken")
    assert found == {}
