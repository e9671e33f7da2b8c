"""Files that are written whole or not at all, and read without executing anything."""

from __future__ import annotations

import io
import os
import pickle
import re
import reprlib
import zipfile
from pathlib import Path
from typing import Any

import torch

UNFINISHED = ".unfinished"


def as_path(name: str, value: str | os.PathLike[str]) -> Path:
    """Return `value` as a path.

    Args:
        name: The argument, for the error.
        value: What was passed.

    Raises:
        TypeError: If it is not a path, naming the argument.
    """
    try:
        return Path(value)
    except TypeError:
        raise TypeError(
            f"{name}: expected a path, got {reprlib.repr(value)}. Pass a str or a pathlib.Path."
        ) from None


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that, whatever happens meanwhile, it has its old content or the new one.

    Args:
        path: The file; its folder is made if need be.
        content: Its bytes.

    Raises:
        TypeError: If `path` is not a path.
        OSError: If it cannot be written; what was there before is unchanged.

    Examples:
        ```python
        from pathlib import Path
        from tamiyo_rl.training.storage.files import replace_file

        replace_file(Path("runs/a/note.txt"), b"whole, or not there")
        print(Path("runs/a/note.txt").read_text())
        ```

        ```text
        whole, or not there
        ```
    """
    file = as_path("path", path)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(file.name + UNFINISHED)
    try:
        _write_through(unfinished, content)
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        reason = f"{error.strerror}; nothing was changed at"
        raise OSError(error.errno, reason, str(file)) from error
    _sync_folder(file.parent)


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too; a system that cannot open folders does it by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_saved(
    path: str | os.PathLike[str], content: dict[str, Any], *, kind: str, version: int
) -> None:
    """Write tensors and plain values with their kind and the version of its format.

    Args:
        path: The file.
        content: Tensors, numbers, strings, and lists and dicts of them.
        kind: What the file is, such as "policy".
        version: Of the format.
    """
    stream = io.BytesIO()
    torch.save({"kind": kind, "format": version, **content}, stream)
    replace_file(path, stream.getvalue())


def read_saved(path: str | os.PathLike[str], *, kind: str, version: int) -> dict[str, Any]:
    """Read what `write_saved` wrote; nothing in the file is executed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, of another kind or of another format, naming the file
            and the reason.
    """
    content = _load(as_path("path", path), kind)
    if not isinstance(content, dict) or content.get("kind") != kind:
        got = content.get("kind") if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{path}: expected a saved {kind}, got another file ({got!r})"
            "\n  do: pass a file that tamiyo-rl wrote"
        )
    if repr(content.get("format")) != repr(version):
        raise ValueError(
            f"{path}: expected format {version} of a saved {kind}, got {content.get('format')!r}"
            "\n  do: read it with the version of tamiyo-rl that wrote it"
        )
    return content


def _load(path: Path, kind: str) -> Any:
    data = path.read_bytes()
    try:
        _require_checksums(data)
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file can fail in any way
        raise ValueError(
            f"{path}: expected a saved {kind}, got a damaged or foreign file"
            f"\n  cause: {_reason(error)}"
            "\n  do: pass a file that tamiyo-rl wrote, and that was copied whole"
        ) from error


def _require_checksums(data: bytes) -> None:
    """Compare the checksums, which PyTorch writes but does not compare."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        damaged = archive.testzip()
        # PyTorch writes no attributes, and reads nothing where they say that it is a folder.
        attributes = [entry.filename for entry in archive.infolist() if entry.external_attr]
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} differs")
    if attributes:
        raise zipfile.BadZipFile(f"the attributes of {attributes[0]} differ")


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        refused = re.search(r"(?:Unsupported|GLOBAL)[^\n]*?GLOBAL (\S+)", str(error))
        if refused:
            return f"it asks for {refused[1]}, which is not loaded"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'}"
