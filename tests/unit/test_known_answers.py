"""Ids name one decision each: known answers, bounded and kept in a file."""

import pytest

from banditloop.rl_core.serving.known_answers import CACHED_ANSWERS, IdConflict, KnownAnswers, Name

ANSWER = {"event_id": "e", "action": 1}


def test_an_id_has_one_question_and_kinds_do_not_collide():
    answers = KnownAnswers()
    answers.add([(Name("event_id", "a", "q"), ANSWER)])
    assert answers.find([Name("event_id", "a", "q")]) == ANSWER
    assert answers.find([Name("request_id", "a", "other")]) is None
    with pytest.raises(IdConflict, match="event_id = 'a': was given before with another observation"):
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
