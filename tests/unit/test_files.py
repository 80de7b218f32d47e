"""Atomic files: nothing is left of what was not finished."""

import os
import time

import pytest

from banditloop.rl_core.backends.local.files import LEFT_SECONDS, atomic_file, remove_unfinished, write_atomically


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "release.json"
    write_atomically(path, "old")
    with pytest.raises(OSError, match="no space"), atomic_file(path) as file:
        file.write(b"new")
        raise OSError("no space")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_crash_has_left_is_removed_once_nobody_can_be_writing_it(tmp_path):
    old, fresh, whole = (tmp_path / name for name in (".a1b2c3", ".d4e5f6", "part.hashes"))
    long_ago = time.time() - LEFT_SECONDS - 60
    for path in (old, fresh, whole):
        path.write_bytes(b"12345678")
    for path in (old, whole):
        os.utime(path, (long_ago, long_ago))
    remove_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == [fresh, whole]
