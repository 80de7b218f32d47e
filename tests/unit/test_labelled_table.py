"""Tables of labels and of actions: ids stay as they are written, and what is no feature is refused by its name."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from banditloop.rl_core.environments.classification import Classification
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.table_file import TableFile


def test_numbers_that_are_written_as_ids_stay_texts(tmp_path):
    path = tmp_path / "articles.csv"
    path.write_text("id,size\n007,5\n7,-3\n10,\n")
    table = TableFile().read(str(path))
    assert table["id"].to_pylist() == ["007", "7", "10"]
    assert table["size"].to_pylist() == [5, -3, None]
    path.write_text("label,x\n01,1\n1,2\n")
    assert Classification(dataset=str(path)).task.actions == ["01", "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,label,x\na,b,1\nc,d,2\n", "two columns have the same name"),
        ("label,x,x\na,1,1\nc,2,2\n", "two columns have the same name"),
        (",label,x\n0,a,1\n1,b,2\n", "column '': give it a name that starts with a letter, or drop it"),
        ("label,x\na,1e9\nb,2\n", "column 'x' has values beyond 1,000,000; scale it"),
        ("label,x\na,9007199254740993\nb,2\n", "column 'x' has values beyond 1,000,000; scale it"),
    ],
)
def test_columns_that_are_no_features_are_refused(tmp_path, text, message):
    path = tmp_path / "flowers.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput) as error:
        _ = Classification(dataset=str(path)).task
    assert str(error.value) == f"environment.dataset = {str(path)!r}: {message}" + "; rename one" * ("same" in message)


def test_labels_that_are_lists_are_refused(tmp_path):
    path = tmp_path / "flowers.parquet"
    pyarrow.parquet.write_table(pa.table({"label": [["a"], ["b"]], "x": [1, 2]}), path)
    with pytest.raises(InvalidInput, match=r"environment\.label = 'label': holds list<element: string>"):
        _ = Classification(dataset=str(path)).task
