"""The keys file: one `name: sha256` a line, never a key itself. Pure standard library.

A key is 256 random bits, so a plain SHA-256 is enough at rest: there is nothing to guess, and no salt to add to that.
Writers hold a lock on the folder and replace the file in one step, so that a reader sees the old file or the new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolace.errors import ServingError

KEY_PREFIX = "tk-"
"""How a key of this project begins, so that secret scanners and people can tell one."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def new_key() -> str:
    """A fresh key: the prefix and 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """SHA-256 of a key in hexadecimal digits, as the keys file holds it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def check_name(name: str) -> str:
    """Give back a name that can stand in the keys file and in a log; raises `ServingError` for another."""
    if not _NAME.fullmatch(name):
        raise ServingError(f"{name!r} cannot name a key: use 1 to 64 letters, digits, dots, dashes or underscores")
    return name


def parse_keys(text: str, origin: str) -> dict[str, str]:
    """Hash by name from the text of a keys file; empty lines and lines that begin with `#` are skipped.

    Raises:
        ServingError: a line is not `name: sha256`, or a name stands twice. Names the line, not what it holds: it may be
            a key that somebody pasted.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, digest = (part.strip() for part in line.partition(":"))
        if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
            raise ServingError(
                f"keys file {origin}, line {number} is not `name: sha256` (64 lower-case hexadecimal digits): "
                "write keys with `toolace keys add NAME --file FILE`"
            )
        if name in found:
            raise ServingError(f"keys file {origin}, line {number} names a key that an earlier line has: rename one")
        found[name] = digest
    return found


def add_key(path: str | Path, name: str) -> str:
    """Make a key, write its hash under `name` and give the key back: nothing can show it again.

    The file is made where absent, has mode 0600 afterwards and keeps its comments.

    Raises:
        ServingError: the name is taken or unusable, or the file cannot be read or written.
    """
    check_name(name)
    key = new_key()
    with _editing(path) as lines:
        if name in parse_keys("\n".join(lines), str(path)):
            raise ServingError(
                f"keys file {path} already has a key named {name}: choose another name, or remove it first with "
                f"`toolace keys revoke {name} --file {path}`"
            )
        lines.append(f"{name}: {hash_key(key)}")
    return key


def revoke_key(path: str | Path, name: str) -> None:
    """Take a key out of the file; a running endpoint refuses it within a second or so.

    Raises:
        ServingError: there is no such key, or the file cannot be read or written.
    """
    with _editing(path, must_exist=True) as lines:
        known = parse_keys("\n".join(lines), str(path))
        if name not in known:
            raise ServingError(f"keys file {path} has no key named {name!r}; it has: {', '.join(known) or 'none'}")
        lines[:] = [line for line in lines if line.partition(":")[0].strip() != name]


def list_keys(path: str | Path) -> list[str]:
    """Names in the file, in its order. Raises `ServingError` where it cannot be read."""
    return list(parse_keys(_read(Path(path), must_exist=True), str(path)))


def _read(path: Path, *, must_exist: bool) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not must_exist:
            return ""
        advice = f"make it with `toolace keys add NAME --file {path}`"
        raise ServingError(f"there is no keys file {path}: {advice}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ServingError(f"keys file {path} cannot be read: {_reason(error)}") from None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is not UTF-8 text"


@contextmanager
def _editing(path: str | Path, *, must_exist: bool = False) -> Iterator[list[str]]:
    """Lines of the file, to be changed in place; written back in one step when the block ends without an error."""
    target = Path(os.path.realpath(path))
    try:
        folder = os.open(target.parent, os.O_RDONLY)
    except OSError as error:
        raise ServingError(f"keys file {path}: its folder cannot be opened ({_reason(error)}): make it first") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        lines = _read(target, must_exist=must_exist).splitlines()
        yield lines
        _replace(target, "".join(f"{line}\n" for line in lines))
        os.fsync(folder)
    except OSError as error:
        if isinstance(error, ServingError):
            raise
        raise ServingError(f"keys file {path} cannot be written: {_reason(error)}") from None
    finally:
        os.close(folder)


def _replace(target: Path, text: str) -> None:
    handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mkstemp gives mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        os.unlink(draft)
        raise
