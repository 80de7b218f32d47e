"""The outbox: every event reaches the bus once, despite failures of the bus, the disk and the process."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading

import orjson
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.serving.outbox import CHECKSUM_BYTES, MESSAGE_BYTES, Outbox, send
from banditloop.rl_core.serving.outbox_publisher import outbox_folder
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.conftest import make_config


class UnreliableBus:
    """A bus that fails until `available` is set."""

    def __init__(self):
        self.available = False
        self.messages = []

    def publish(self, message):
        if not self.available:
            raise OSError("the bus is unavailable")
        self.messages.append(message)

    def events(self):
        return [event for message in self.messages for event in orjson.loads(message)]


def test_events_are_kept_while_the_bus_is_unavailable(tmp_path):
    bus, outbox = UnreliableBus(), Outbox(tmp_path)
    for number in range(50):
        outbox.put(b"[%d,%d.5]" % (number, number))
        if number % 7 == 0:
            with pytest.raises(OSError, match="unavailable"):
                send(tmp_path, bus.publish)
        if number % 20 == 0:
            outbox.close()
    outbox.close()
    pending = outbox.pending_bytes()
    bus.available = True
    send(tmp_path, bus.publish)
    assert bus.events() == [event for number in range(50) for event in (number, number + 0.5)]
    assert pending == sum(CHECKSUM_BYTES + len(b"%d,%d.5\n" % (number, number)) for number in range(50))
    assert list(tmp_path.iterdir()) == []


def test_events_sent_before_the_bus_fails_are_not_sent_again(tmp_path):
    outbox, sent = Outbox(tmp_path), []

    def fail_after(count):
        def publish(message):
            if len(sent) == count:
                raise OSError("the bus is unavailable")
            sent.append(message)

        return publish

    outbox.put(orjson.dumps(["a" * MESSAGE_BYTES]))
    outbox.put(orjson.dumps(["b" * MESSAGE_BYTES]))
    for count in (1, 2):
        with pytest.raises(OSError, match="unavailable") if count == 1 else contextlib.nullcontext():
            send(tmp_path, fail_after(count))
        assert len(sent) == count
    assert outbox.pending_bytes() == 0
    outbox.put(b"[3]")
    send(tmp_path, fail_after(3))
    assert sent[2] == b"[3]"


def test_many_events_are_kept_in_several_files_and_sent_in_several_messages(tmp_path, monkeypatch):
    monkeypatch.setattr("banditloop.rl_core.serving.outbox.FILE_BYTES", 300_000)
    bus, outbox = UnreliableBus(), Outbox(tmp_path)
    bus.available = True
    for number in range(1000):
        outbox.put(orjson.dumps([f"{number:01000d}"]))
    outbox.put(orjson.dumps([f"{number:01000d}" for number in range(1000, 3000)]))  # at once, as for one request
    assert len(list(tmp_path.iterdir())) == 4
    send(tmp_path, bus.publish)
    assert sorted(map(int, bus.events())) == list(range(3000))
    assert len(bus.messages) < 20
    assert max(map(len, bus.messages)) <= 2 * MESSAGE_BYTES
    [open_file] = tmp_path.iterdir()
    outbox.close()
    send(tmp_path, bus.publish)
    assert not open_file.exists()


def test_an_open_file_is_sent_by_one_process_at_a_time_and_removed_after_its_writer_ends(tmp_path):
    bus, outbox = UnreliableBus(), Outbox(tmp_path)
    bus.available = True
    outbox.put(b"[1]")
    send(tmp_path, bus.publish)
    assert bus.messages == [b"[1]"]
    outbox.put(b"[2]")
    importing = "from banditloop.rl_core.serving.outbox import *"
    concurrent_send = f"{importing}; send(Path({str(tmp_path)!r}), lambda message: print(message))"

    def publish(message):
        assert subprocess.check_output([sys.executable, "-c", concurrent_send]) == b""
        bus.publish(message)

    send(tmp_path, publish)
    script = f"from banditloop.rl_core.serving.outbox import *; Outbox(Path({str(tmp_path)!r})).put(b'[3]'); os.abort()"
    subprocess.run([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    assert len(list(tmp_path.iterdir())) == 2
    send(tmp_path, bus.publish)
    assert bus.messages == [b"[1]", b"[2]", b"[3]"]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_last_send_waits_for_a_concurrent_one(tmp_path):
    outbox, sent = Outbox(tmp_path), []
    outbox.put(b"[1]")
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    send(tmp_path, sent.append)
    assert sent == []
    threading.Timer(0.3, lambda: os.close(lock)).start()
    send(tmp_path, sent.append, wait=5.0)
    assert sent == [b"[1]"]


def test_events_added_during_a_send_wait_for_the_next_one(tmp_path):
    """Otherwise one topic could keep the other from being sent."""
    outbox = Outbox(tmp_path)
    outbox.put(b"[1]")
    send(tmp_path, outbox.put)
    assert outbox.pending_bytes() == CHECKSUM_BYTES + len(b"1\n")


def test_empty_batches_are_not_sent(tmp_path):
    outbox, sent = Outbox(tmp_path), []
    for events in b"[]", b"[1]", b"[]", b"[2]":
        outbox.put(events)
    send(tmp_path, sent.append)
    assert sent == [b"[1,2]"]


@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"\0" * 1_000_000])
def test_a_file_lost_in_a_machine_crash_is_skipped(tmp_path, content):
    (tmp_path / "0.events").write_bytes(content)
    outbox, sent = Outbox(tmp_path), []
    outbox.put(b"[1]")
    assert outbox.pending_bytes() == max(0, len(content) - len(b"0" * 20)) + CHECKSUM_BYTES + len(b"1\n")
    send(tmp_path, sent.append)
    assert sent == [b"[1]"]


def test_one_large_event_is_one_message(tmp_path):
    outbox, sent = Outbox(tmp_path), []
    outbox.put(orjson.dumps(["a" * 5 * MESSAGE_BYTES]))
    send(tmp_path, sent.append)
    assert len(sent) == 1


def test_an_incomplete_line_is_not_sent(tmp_path):
    bus, outbox = UnreliableBus(), Outbox(tmp_path)
    bus.available = True
    outbox.put(b"[1,2]")
    outbox.close()
    [path] = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b"3,4")
    send(tmp_path, bus.publish)
    assert bus.events() == [1, 2]
    assert not path.exists()


LINES = [orjson.dumps([{"event_id": f"{number:032x}", "text": "x" * 400}]) for number in range(30)]


def sent_and_damaged(folder):
    sent, damaged = UnreliableBus(), []
    sent.available = True
    send(folder, sent.publish, damaged=lambda reason, line: damaged.append((reason, line)))
    return [int(event["event_id"], 16) for event in sent.events()], damaged


@pytest.mark.parametrize("start", [0, 20, 1000, 4096, 8192])
@pytest.mark.parametrize("garbage", [b"\0" * 4096, b"\xff\n" * 2048, b"9" * 4096])
def test_a_page_lost_by_the_disk_is_set_aside_and_all_other_lines_are_sent(tmp_path, start, garbage):
    outbox = Outbox(tmp_path)
    for line in LINES:
        outbox.put(line)
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:start] + garbage + content[start + len(garbage) :])
    first, length = 20, len(LINES[0]) - 2 + CHECKSUM_BYTES + 1
    damaged_lines = {n for n in range(30) if first + n * length < start + 4096 and first + (n + 1) * length > start}
    events, damaged = sent_and_damaged(tmp_path)
    assert events == [number for number in range(30) if number not in damaged_lines]
    assert all(path.name in reason for reason, _ in damaged)
    assert sum(len(line) + 1 for _, line in damaged) == pytest.approx(len(damaged_lines) * length, abs=20)
    outbox.put(b'[{"event_id": "ff"}]')
    assert sent_and_damaged(tmp_path) == ([255], [])  # it goes on, and nothing is reported twice


def test_a_single_wrong_bit_is_found(tmp_path):
    outbox = Outbox(tmp_path)
    for line in LINES[:3]:
        outbox.put(line)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"x" * 400, b"x" * 399 + b"y", 1))
    events, [(reason, _)] = sent_and_damaged(tmp_path)
    assert events == [1, 2]
    assert reason == f"{path.name}: a line does not match its checksum"


@pytest.mark.parametrize("header", [b"\0" * 20, b"9" * 19 + b"\n", b"%019d\n" % 0, b"%019d\n" % 333, b"garbage"])
def test_a_damaged_header_sends_all_lines_again(tmp_path, header):
    outbox = Outbox(tmp_path)
    for line in LINES:
        outbox.put(line)
    send(tmp_path, lambda message: None)
    [path] = tmp_path.iterdir()
    with path.open("rb+") as file:
        file.write(header)
    assert sent_and_damaged(tmp_path) == (list(range(30)), [])


def test_a_truncated_file_is_reported(tmp_path):
    outbox = Outbox(tmp_path)
    for line in LINES:
        outbox.put(line)
    outbox.close()
    [path] = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size - 10)
    events, [(reason, line)] = sent_and_damaged(tmp_path)
    assert events == list(range(29))
    assert (reason, len(line)) == (f"{path.name}: its last line is incomplete", len(LINES[29]) - 2 + CHECKSUM_BYTES - 9)


def test_lines_of_earlier_versions_are_sent_and_their_damaged_ones_set_aside(tmp_path):
    (tmp_path / "0.events").write_bytes(b"%019d\n" % 20 + b'{"a":1}\n{"b":2},{"c":3}\n{"d\0\0\n{"e":4}\n')
    bus, damaged = UnreliableBus(), []
    bus.available = True
    send(tmp_path, bus.publish, damaged=lambda reason, line: damaged.append(line))
    assert bus.events() == [{"a": 1}, {"b": 2}, {"c": 3}, {"e": 4}]
    assert damaged == [b'{"d\0\0']


def test_a_damaged_line_becomes_a_dead_letter_and_the_publisher_goes_on(tmp_path):
    config = make_config(tmp_path)
    platform, outbox = connect(config), Outbox(outbox_folder(connect(config).scratch, "decisions"))
    for line in LINES[:3]:
        outbox.put(line)
    [path] = (platform.scratch / "outbox" / "decisions").iterdir()
    path.write_bytes(path.read_bytes().replace(LINES[1][1:-1], b"\0" * (len(LINES[1]) - 2)))
    outbox_folder(platform.scratch, "rewards").mkdir()
    variables = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())}
    command = [sys.executable, "-m", "banditloop.rl_core.serving.outbox_publisher"]
    result = subprocess.run(command, env=variables, input="", capture_output=True, text=True, check=True, timeout=120)
    [told] = [json.loads(line)["message"] for line in result.stderr.splitlines()]
    assert told == (
        f"decisions: outbox file {path.name}: a line does not match its checksum; its 466 bytes become a dead letter"
    )
    published = []
    platform.bus.deliver("decisions", published.extend)
    assert [int(event["event_id"], 16) for event in orjson.loads(published[0])] == [0, 2]
    [(reason, _)] = platform.bus.dead_letters("decisions")
    assert reason == f"damaged on disk: outbox file {path.name}: a line does not match its checksum"


def test_a_full_disk_leaves_whole_events_in_the_outbox(tmp_path):
    """In a process with a limit of 1,000 bytes per file."""
    script = f"""
import resource
from pathlib import Path
from banditloop.rl_core.serving.outbox import Outbox
box = Outbox(Path({str(tmp_path)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for event in (b"1" * 600, b"2" * 600, b"3" * 300):
    try:
        box.put(b"[" + event + b"]")
        print("kept", chr(event[0]))
    except OSError as error:
        print("refused", chr(event[0]), error.strerror)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split("\n")[:3] == ["kept 1", "refused 2 No space left on device", "kept 3"]
    bus = UnreliableBus()
    bus.available = True
    send(tmp_path, bus.publish)
    assert bus.messages == [b"[" + b"1" * 600 + b"]", b"[" + b"3" * 300 + b"]"]
