"""Ids name one decision each: known answers, bounded and kept in a file that processes share."""

import os
import subprocess
import sys

import pytest

from banditloop.rl_core.serving import answer_file
from banditloop.rl_core.serving.answer_file import AnswerFile
from banditloop.rl_core.serving.known_answers import CACHED_ANSWERS, IdConflict, KnownAnswers, Name

ANSWER = {"event_id": "e", "action": 1}


def test_an_id_has_one_question_and_kinds_do_not_collide():
    answers = KnownAnswers()
    answers.add([(Name("event_id", "a", "q"), ANSWER)])
    assert answers.find([Name("event_id", "a", "q")]) == ANSWER
    assert answers.find([Name("request_id", "a", "other")]) is None
    with pytest.raises(IdConflict, match="event_id = 'a': was given before with another context"):
        answers.find([Name("event_id", "a", "other")])


def test_answers_outlive_the_process_even_where_a_line_is_cut_off(tmp_path):
    path = tmp_path / "answers.jsonl"
    KnownAnswers(path).add([(Name("event_id", "a", "q"), ANSWER)])
    with path.open("ab") as file:
        file.write(b'["event_id","b","q\n[]\nnull\n["event_id","c","q"')
    answers = KnownAnswers(path)
    assert len(answers) == 1
    assert answers.find([Name("event_id", "a", "q")]) == ANSWER


def test_the_newest_answers_survive_when_the_file_is_full(tmp_path):
    path, count = tmp_path / "answers.jsonl", 4 * CACHED_ANSWERS
    answers = KnownAnswers(path)
    for start in range(0, count, 1000):
        answers.add([(Name("event_id", f"{start + n:0200d}", "q"), ANSWER) for n in range(1000)])
    restarted = KnownAnswers(path)
    assert len(restarted) == CACHED_ANSWERS
    assert restarted.find([Name("event_id", f"{count - 1:0200d}", "q")]) == ANSWER
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 10 << 20


def test_processes_know_each_others_answers_when_the_file_is_full_and_a_line_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr("banditloop.rl_core.serving.answer_file.FILE_BYTES", 500)
    path = tmp_path / "answers.jsonl"
    answers = [KnownAnswers(path), KnownAnswers(path)]
    for number in range(100):
        name = Name("event_id", str(number), "q")
        answers[number % 2].add([(name, ANSWER | {"action": number})])
        if number % 10 == 0:
            with path.open("ab") as file:
                file.write(b'["event_id","cut')
        with answers[1 - number % 2].held([name]):
            assert answers[1 - number % 2].find([name]) == ANSWER | {"action": number}
    assert len(answers[0]) == len(answers[1]) == 100


SCRIPT = """
import sys
import time
from pathlib import Path
from banditloop.rl_core.serving import answer_file
from banditloop.rl_core.serving.known_answers import KnownAnswers, Name
answer_file.FILE_BYTES = 10_000
answers, process = KnownAnswers(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(300):
    names = [Name("event_id", str(number // 2 * 2 + shift), "q") for shift in (0, 1)]
    with answers.held(names):
        answer = answers.find(names)
        if answer is None:
            time.sleep(0.001)  # in which the other process asks
            answer = {"by": process}
            answers.add([(name, answer) for name in names])
    print(answer["by"])
"""


def test_one_of_two_processes_decides_what_both_are_asked(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "answers.jsonl")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen([*command, "first"], **pipes) as first,
        subprocess.Popen([*command, "second"], **pipes) as second,
    ):
        for process in first, second:
            assert process.stdout.readline() == "ready\n"
        for process in first, second:
            process.stdin.write("\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60)[0].split() for process in (first, second)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 300


def test_a_file_that_cannot_be_opened_does_not_cost_another_its_descriptor(tmp_path):
    file = AnswerFile(tmp_path / "answers.jsonl")
    file.append([b"first"])
    (tmp_path / "answers.jsonl").unlink()
    (tmp_path / "answers.jsonl").mkdir()
    with pytest.raises(OSError, match="directory"):
        file.read()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    with pytest.raises(OSError, match="directory"):
        file.read()
    assert os.write(other, b"still open") == 10
    os.close(other)


HOLD = """
import sys
from pathlib import Path
from banditloop.rl_core.serving.answer_file import AnswerFile
with AnswerFile(Path(sys.argv[1])).held(["a"]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_an_id_that_a_process_holds_and_never_lets_go_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(answer_file, "HELD_SECONDS", 0.05)
    path, pipes = tmp_path / "answers.jsonl", {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        file = AnswerFile(path)
        with file.held(["b"]):
            pass
        with pytest.raises(OSError, match="unavailable"), file.held(["a"]):
            pass
        holder.communicate("\n", timeout=60)
    with file.held(["a"]):
        pass
