"""Files on a local path or any `pyarrow.fs` URI: open the file system, write whole or not at all, hash."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.fs as pafs

BLOCK_BYTES = 1 << 22


def filesystem(path: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of `path` and the path within it.

    Raises:
        OSError, pyarrow.ArrowInvalid: the URI is malformed or its storage cannot be reached.
    """
    if "://" in path:
        return pafs.FileSystem.from_uri(path)
    return pafs.LocalFileSystem(), path


def is_local(fs: pafs.FileSystem) -> bool:
    """Return whether `fs` is this machine's: files there can be appended to, renamed and locked."""
    return isinstance(fs, pafs.LocalFileSystem)


def exists(fs: pafs.FileSystem, path: str) -> bool:
    """Return whether there is a file or folder at `path`."""
    return fs.get_file_info(path).type != pafs.FileType.NotFound


@contextlib.contextmanager
def write_atomically(fs: pafs.FileSystem, path: str, *, durable: bool = False) -> Iterator[pa.NativeFile]:
    """Open a stream whose content appears at `path` when the block ends, whole.

    A local file is written beside `path` and renamed: if the block raises, nothing appears. Object stores show an
    object only when its stream is closed; there, a block that raises may leave a partial one, unless it is `durable`.

    Args:
        fs: file system of `path`.
        path: where the content appears.
        durable: a local file's content and name are on the device when the block ends; on all other storage, too, the
            content is written beside `path` and moved.

    Raises:
        OSError: the storage rejects it (a full disk); the partial file is removed.
    """
    temporary = f"{path}.part" if durable or is_local(fs) else path
    try:
        with fs.open_output_stream(temporary) as stream:
            yield stream
        if durable and is_local(fs):
            sync(temporary)
        if temporary != path:
            fs.move(temporary, path)
        if durable and is_local(fs):
            sync(str(Path(path).parent))
    except BaseException:
        if temporary != path:
            with contextlib.suppress(OSError):
                fs.delete_file(temporary)
        raise


def sync(path: str) -> None:
    """Make a local file's content, or a folder's list of files, durable."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def delete(fs: pafs.FileSystem, path: str) -> None:
    """Delete a file or folder, if it is there."""
    kind = fs.get_file_info(path).type
    if kind == pafs.FileType.File:
        fs.delete_file(path)
    elif kind == pafs.FileType.Directory:
        fs.delete_dir(path)


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 (hex) of a local file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        _feed(digest, stream)
    return digest.hexdigest()


def identity(name: str) -> str:
    """Return what stands for `name` in a fingerprint: the content of a file or of a folder's files, else the name.

    A hub id stands for itself; a folder of weights that was replaced in place is another one.
    """
    place = Path(name).expanduser()
    if name and place.is_dir():
        files = sorted(path for path in place.iterdir() if path.is_file())
    else:
        files = [place]
    if not name or not all(path.is_file() for path in files):
        return name
    return _files_hash(tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@functools.lru_cache(maxsize=256)
def _files_hash(files: tuple[tuple[str, int, int], ...]) -> str:
    """Return the SHA-256 (hex) of files given as (path, size, time changed), read once while they stay the same."""
    digest = hashlib.sha256()
    for path, size, _ in files:
        digest.update(f"{Path(path).name} {size}\n".encode())
        with open(path, "rb") as stream:
            _feed(digest, stream)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, stream: BinaryIO) -> None:
    while block := stream.read(BLOCK_BYTES):
        digest.update(block)
