"""Examples in Arrow files: the same policy as from TFRecords; what cannot be written or read is refused by name."""

import pyarrow as pa
import pytest

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events import examples, parsed_examples
from banditloop.rl_core.events.arrow_examples import write_arrow
from banditloop.rl_core.events.examples import are_transitions, example_files, read_examples, write_examples
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.training.shards import train_here
from tests.conftest import START, random_interactions, vector_task

FORMS = ("tfrecord", "arrow")
ROWS = 1_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two files of examples in each form."""
    root = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "ROWS_PER_FILE", 600)
        for form in FORMS:
            assert write_examples(random_interactions(ROWS).to_batches(max_chunksize=350), root / form, form) == ROWS
    return [root / form for form in FORMS]


@pytest.mark.parametrize("agent", [{"name": "linear_thompson"}, {"name": "neural_epsilon_greedy", "epochs": 1}])
def test_what_is_learned_is_the_same_to_the_last_bit(folders, agent):
    config = Config.parse({"task": vector_task().model_dump(), "agent": agent})
    one, other = (train_here(config, folder, Encoding.of_vectors(20, 20), None) for folder in folders)
    assert one.keys() == other.keys()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_files_have_the_same_rows_in_both_forms(folders, monkeypatch):
    for module in (examples, parsed_examples):
        monkeypatch.setattr(module, "ROWS_PER_BATCH", 250)
    one, other = (list(read_examples(example_files(folder), vector_task())) for folder in folders)
    assert [table.num_rows for table in one] == [table.num_rows for table in other] == [250, 250, 100, 250, 150]
    assert all(table.combine_chunks().equals(same.combine_chunks()) for table, same in zip(one, other, strict=True))
    assert not are_transitions(example_files(folders[1]))


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_or_cut_off_file_is_named(folders, form, tmp_path):
    first, second = example_files(folders[FORMS.index(form)])
    (tmp_path / f"{second.name}.crc32c").write_bytes(_checksum(second))
    content, copy = bytearray(second.read_bytes()), tmp_path / second.name
    content[len(content) // 2] ^= 1
    for damaged in (bytes(content), bytes(content[:-7]), b""):
        copy.write_bytes(damaged)
        if form == "tfrecord" and not damaged:
            continue  # a file without records
        with pytest.raises(InvalidInput, match=f"{second.name}: is damaged"):
            list(read_examples([first, copy], vector_task()))


def _checksum(file):
    beside = file.with_name(f"{file.name}.crc32c")
    return beside.read_bytes() if beside.exists() else b""


def test_arrow_files_of_other_writers_are_read(tmp_path):
    """Without a checksum, in double precision, with columns in another order, and more of them; else refused."""
    table, file = random_interactions(20), tmp_path / "own.arrow"

    def write(own):
        with pa.ipc.new_file(file, own.schema) as sink:
            sink.write_table(own)

    write(table.select(table.column_names[::-1]).append_column("more", pa.array(range(20))))
    [read] = read_examples([file], vector_task())
    assert read["reward"] == table["reward"]
    assert read.schema == interaction_schema(vector_task())
    write(table.drop_columns("reward"))
    with pytest.raises(InvalidInput, match=r"own\.arrow: is damaged, or of another task: .*reward"):
        list(read_examples([file], vector_task()))
    other = Task.parse({"actions": 20, "context": {"observation": "category"}})
    write(table)
    with pytest.raises(InvalidInput, match=r"own\.arrow: is damaged, or of another task: "):
        list(read_examples([file], other))
    file.write_bytes(file.read_bytes()[:-20])
    for read in (lambda: list(read_examples([file], vector_task())), lambda: are_transitions([file])):
        with pytest.raises(InvalidInput, match=r"own\.arrow: is damaged"):
            read()


def test_a_part_is_written_before_the_next_is_read(tmp_path):
    file, sizes = tmp_path / "examples.arrow", []

    def parts():
        for batch in random_interactions(300).to_batches(max_chunksize=100):
            sizes.append(file.stat().st_size if file.exists() else 0)
            yield batch

    assert write_arrow(file, parts()) == 300
    assert sizes[0] == 0 < sizes[2]


@pytest.mark.parametrize("form", FORMS)
def test_a_null_in_a_list_is_refused_and_the_interaction_named(form, tmp_path):
    task = Task.parse({"actions": ["a", "b"], "context": {"tags": "categories", "h": {"vector": 2}}})
    schema = interaction_schema(task)
    row = dict.fromkeys(schema.names) | {"event_id": "e1", "timestamp": START, "action": "a", "candidates": ["a", "b"]}
    good = row | {"context": {"tags": ["t"], "h": [1.0, 2.0]}}
    table = pa.Table.from_pylist([good, good, good | {"event_id": "e2"}], schema)
    assert write_examples(table.to_batches(), tmp_path, form) == 3
    for wrong, name in (
        ({"context": {"tags": ["t", None], "h": [1.0, 2.0]}}, "context.tags"),
        ({"context": {"tags": [], "h": [None, 2.0]}}, "context.h"),
        ({"candidates": [None]}, "candidates"),
        ({"probabilities": [0.5, None]}, "probabilities"),
    ):
        rows = pa.Table.from_pylist([good, good, good | {"event_id": "e2"} | wrong], schema)
        with pytest.raises(InvalidInput, match=f"^interaction e2: {name} has a null in its list"):
            write_examples(rows.slice(1).to_batches(), tmp_path, form)
