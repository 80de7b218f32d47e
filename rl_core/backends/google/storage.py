"""Directories as objects of the bucket. Policies are read and written as local files, which TensorFlow needs."""

import contextlib
import tempfile
from pathlib import Path

from google.api_core.exceptions import NotFound
from google.cloud import storage
from google.cloud.storage import Bucket

from banditloop.rl_core.backends.google.clients import credentials
from banditloop.rl_core.errors import InvalidInput


def fetch(uri: str, folder: Path) -> Path:
    """Download the objects below a gs:// address to a directory and return the directory."""
    name, _, prefix = uri.removeprefix("gs://").strip("/").partition("/")
    return download(storage.Client("any", credentials()).bucket(name), prefix, folder)


def upload(bucket: Bucket, folder: Path, prefix: str, last: str) -> None:
    """Copy a directory below a prefix. The file `last` is written last, so its presence means all files are there."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name == last)
    for path in files:
        bucket.blob(f"{prefix}/{path.relative_to(folder).as_posix()}").upload_from_filename(path)


def remove(bucket: Bucket, prefix: str, first: str) -> None:
    """Delete the objects below a prefix. `first` is deleted first: without it, the directory counts as absent."""
    blobs = sorted(bucket.list_blobs(prefix=f"{prefix}/"), key=lambda blob: blob.name != f"{prefix}/{first}")
    for blob in blobs:
        with contextlib.suppress(NotFound):  # another process was faster
            blob.delete()


def download(bucket: Bucket, prefix: str, folder: Path, last: str = "") -> Path:
    """Copy the objects below a prefix to a directory, atomically, and return the directory. An existing one is kept.

    Raises:
        InvalidInput: there are no objects, or not the one that `upload` writes last.
    """
    if folder.is_dir():
        return folder
    blobs = list(bucket.list_blobs(prefix=f"{prefix}/"))
    if not any(blob.name.startswith(f"{prefix}/{last}") for blob in blobs):
        raise InvalidInput(f"gs://{bucket.name}/{prefix}: there is no such folder, or it is not complete")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as scratch:
        copy = Path(scratch) / "copy"
        copy.mkdir()
        for blob in blobs:
            _download_file(blob, copy, blob.name.removeprefix(f"{prefix}/"))
        with contextlib.suppress(OSError):  # another process was faster
            copy.rename(folder)
    return folder


def _download_file(blob: storage.Blob, folder: Path, name: str) -> None:
    path = folder / name
    if path.resolve().is_relative_to(folder.resolve()):  # else this package did not write it
        path.parent.mkdir(parents=True, exist_ok=True)
        blob.download_to_filename(path)
