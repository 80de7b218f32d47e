"""The outbox: what was put there reaches the bus, once each, whatever becomes of the bus, the disk and the process."""

import contextlib
import fcntl
import os
import subprocess
import sys
import threading

import orjson
import pytest

from rl_core.backends.outbox import MESSAGE_BYTES, Outbox, send


class AwayBus:
    """A bus that is away until told otherwise."""

    def __init__(self):
        self.back = False
        self.messages = []

    def publish(self, message):
        if not self.back:
            raise OSError("the bus is away")
        self.messages.append(message)

    def events(self):
        return [event for message in self.messages for event in orjson.loads(message)]


def test_the_outbox_keeps_what_the_bus_cannot_take(tmp_path):
    bus, outbox = AwayBus(), Outbox(tmp_path)
    for number in range(50):
        outbox.put(b"[%d,%d.5]" % (number, number))
        if number % 7 == 0:
            with pytest.raises(OSError, match="away"):
                send(tmp_path, bus.publish)
        if number % 20 == 0:
            outbox.close()
    outbox.close()
    waiting = outbox.waiting()
    bus.back = True
    send(tmp_path, bus.publish)
    assert bus.events() == [event for number in range(50) for event in (number, number + 0.5)]
    assert waiting == sum(len(b"%d,%d.5\n" % (number, number)) for number in range(50))
    assert list(tmp_path.iterdir()) == []


def test_what_was_sent_before_the_bus_went_away_is_not_sent_again(tmp_path):
    outbox, sent = Outbox(tmp_path), []

    def leave_after(many):
        def publish(message):
            if len(sent) == many:
                raise OSError("the bus is away")
            sent.append(message)

        return publish

    outbox.put(orjson.dumps(["a" * MESSAGE_BYTES]))
    outbox.put(orjson.dumps(["b" * MESSAGE_BYTES]))
    for many in (1, 2):
        with pytest.raises(OSError, match="away") if many == 1 else contextlib.nullcontext():
            send(tmp_path, leave_after(many))
        assert len(sent) == many
    assert outbox.waiting() == 0
    outbox.put(b"[3]")
    send(tmp_path, leave_after(3))
    assert sent[2] == b"[3]"


def test_large_amounts_are_sent_in_pieces_and_kept_in_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr("rl_core.backends.outbox.FILE_BYTES", 300_000)
    bus, outbox = AwayBus(), Outbox(tmp_path)
    bus.back = True
    for number in range(1000):
        outbox.put(orjson.dumps([f"{number:01000d}"]))
    outbox.put(orjson.dumps([f"{number:01000d}" for number in range(1000, 3000)]))  # in a piece, for one request
    assert len(list(tmp_path.iterdir())) == 4
    send(tmp_path, bus.publish)
    assert sorted(map(int, bus.events())) == list(range(3000))
    assert len(bus.messages) < 20
    assert max(map(len, bus.messages)) <= 2 * MESSAGE_BYTES
    [alive] = tmp_path.iterdir()
    outbox.close()
    send(tmp_path, bus.publish)
    assert not alive.exists()


def test_a_file_is_sent_while_it_is_written_by_one_at_a_time_and_goes_with_its_process(tmp_path):
    bus, living = AwayBus(), Outbox(tmp_path)
    bus.back = True
    living.put(b"[1]")
    send(tmp_path, bus.publish)
    assert bus.messages == [b"[1]"]
    living.put(b"[2]")
    meanwhile = f"from rl_core.backends.outbox import *; send(Path({str(tmp_path)!r}), lambda message: print(message))"

    def publish(message):
        assert subprocess.check_output([sys.executable, "-c", meanwhile]) == b""
        bus.publish(message)

    send(tmp_path, publish)
    script = f"from rl_core.backends.outbox import *; Outbox(Path({str(tmp_path)!r})).put(b'[3]'); os.abort()"
    subprocess.run([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    assert len(list(tmp_path.iterdir())) == 2
    send(tmp_path, bus.publish)
    assert bus.messages == [b"[1]", b"[2]", b"[3]"]
    assert len(list(tmp_path.iterdir())) == 1


def test_who_looks_for_the_last_time_waits_for_who_is_sending(tmp_path):
    outbox, sent = Outbox(tmp_path), []
    outbox.put(b"[1]")
    busy = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(busy, fcntl.LOCK_EX)
    send(tmp_path, sent.append)
    assert sent == []
    threading.Timer(0.3, lambda: os.close(busy)).start()
    send(tmp_path, sent.append, wait=5.0)
    assert sent == [b"[1]"]


def test_what_comes_meanwhile_waits_for_the_next_time(tmp_path):
    """Or one topic would keep the other from being sent."""
    outbox = Outbox(tmp_path)
    outbox.put(b"[1]")
    send(tmp_path, outbox.put)
    assert outbox.waiting() == len(b"1\n")


def test_nothing_is_sent_for_nothing(tmp_path):
    outbox, sent = Outbox(tmp_path), []
    for events in b"[]", b"[1]", b"[]", b"[2]":
        outbox.put(events)
    send(tmp_path, sent.append)
    assert sent == [b"[1,2]"]


@pytest.mark.parametrize("left", [b"", b"\0" * 300, b"\0" * 1_000_000])
def test_a_file_that_the_machine_did_not_write_out_is_in_nobodys_way(tmp_path, left):
    (tmp_path / "0.events").write_bytes(left)
    outbox, sent = Outbox(tmp_path), []
    outbox.put(b"[1]")
    assert outbox.waiting() == max(0, len(left) - len(b"0" * 20)) + len(b"1\n")
    send(tmp_path, sent.append)
    assert sent == [b"[1]"]


def test_one_large_event_is_one_message(tmp_path):
    outbox, sent = Outbox(tmp_path), []
    outbox.put(orjson.dumps(["a" * 5 * MESSAGE_BYTES]))
    send(tmp_path, sent.append)
    assert len(sent) == 1


def test_a_line_that_was_not_written_to_its_end_is_not_sent(tmp_path):
    bus, outbox = AwayBus(), Outbox(tmp_path)
    bus.back = True
    outbox.put(b"[1,2]")
    outbox.close()
    [path] = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b"3,4")
    send(tmp_path, bus.publish)
    assert bus.events() == [1, 2]
    assert not path.exists()


def test_a_full_disk_leaves_whole_events_in_the_outbox(tmp_path):
    """In a process that may not write more than 1,000 bytes to a file."""
    script = f"""
import resource
from pathlib import Path
from rl_core.backends.outbox import Outbox
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
    bus = AwayBus()
    bus.back = True
    send(tmp_path, bus.publish)
    assert bus.messages == [b"[" + b"1" * 600 + b"]", b"[" + b"3" * 300 + b"]"]
