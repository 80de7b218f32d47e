"""Directories as objects of the bucket. Policies are read and written as local files, which TensorFlow needs."""

import contextlib
import shutil
import tempfile
from pathlib import Path

from google.api_core.exceptions import NotFound
from google.cloud import storage
from google.cloud.storage import Bucket

from banditloop.rl_core.backends.google.clients import credentials


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
    """Delete the objects below a prefix. The object `first` goes first: without it, the directory is none."""
    blobs = sorted(bucket.list_blobs(prefix=f"{prefix}/"), key=lambda blob: blob.name != f"{prefix}/{first}")
    for blob in blobs:
        with contextlib.suppress(NotFound):  # another process was faster
            blob.delete()


def download(bucket: Bucket, prefix: str, folder: Path) -> Path:
    """Copy the objects below a prefix to a directory, atomically, and return the directory. An existing one is kept."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    copy = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    for blob in bucket.list_blobs(prefix=f"{prefix}/"):
        path = copy / blob.name.removeprefix(f"{prefix}/")
        if not path.resolve().is_relative_to(copy.resolve()):
            continue  # an object that this package did not write
        path.parent.mkdir(parents=True, exist_ok=True)
        blob.download_to_filename(path)
    try:
        copy.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(copy)
    return folder
