"""Directories as objects of the bucket: policies are read and written as local files, which TensorFlow needs anyway."""

import shutil
import tempfile
from pathlib import Path

from google.cloud import storage
from google.cloud.storage import Bucket

from rl_core.backends.google.clients import credentials


def fetch(uri: str, folder: Path) -> Path:
    """Copy what a gs:// address holds to a directory, and return it."""
    name, _, prefix = uri.removeprefix("gs://").strip("/").partition("/")
    return download(storage.Client("any", credentials()).bucket(name), prefix, folder)


def upload(bucket: Bucket, folder: Path, prefix: str, last: str) -> None:
    """Copy a directory below a prefix; the file `last` comes last, so that with it all is there."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name == last)
    for path in files:
        bucket.blob(f"{prefix}/{path.relative_to(folder).as_posix()}").upload_from_filename(path)


def download(bucket: Bucket, prefix: str, folder: Path) -> Path:
    """Copy what is below a prefix to a directory, whole or not at all, and return it."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    copy = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    for blob in bucket.list_blobs(prefix=f"{prefix}/"):
        path = copy / blob.name.removeprefix(f"{prefix}/")
        if not path.resolve().is_relative_to(copy.resolve()):
            continue  # no object of ours has such a name
        path.parent.mkdir(parents=True, exist_ok=True)
        blob.download_to_filename(path)
    try:
        copy.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(copy)
    return folder
