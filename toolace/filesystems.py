"""Filesystems by URI, and patience with those that fail for a moment.

Object stores are reached as their own tools reach them: credentials, endpoint and region come from the environment
(`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, `AWS_REGION`), and so every
process of a cluster needs them there. Buckets behind an endpoint of one's own are addressed by path.

A store that takes connections and says nothing must end in an error, and not in a hang: with pyarrow's own settings
each request to it takes more than a minute, so the clients are built here with limits of their own.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from toolace.errors import ToolaceError

if TYPE_CHECKING:
    import pyarrow.fs as pafs

T = TypeVar("T")

WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits between tries, seconds: a store that restarts or throttles is back within these 15 s, one that is away for
longer should stop the run."""
PATIENCE_S = 60.0
"""Seconds after which no further try begins: a store that fails at once is asked six times, in 15.5 s, one that takes
its time to fail less often."""
CONNECT_S = 10.0
"""Seconds that S3 has to take a connection."""
SILENT_S = 30.0
"""Seconds without a byte, either way, after which S3's client gives a request up: whole seconds, at least 1. No limit
on how long a request takes, so that large files on slow lines pass. S3 says nothing for a while when a large upload is
put together: pyarrow's own 3 s are few for that."""
ATTEMPTS = 3
"""How often S3's client sends one request, within each try."""
GOOGLE_RETRY_S = 15
"""Seconds after which Google's client, whose own limit is 15 minutes, sends a request no more. It gives up a silent one
only after 120 s, which pyarrow has no setting for."""
PASSING = frozenset(
    {
        errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ETIMEDOUT, errno.ECONNRESET,
        errno.ECONNREFUSED, errno.ECONNABORTED, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH,
        errno.EPIPE, errno.EREMOTEIO,
    }
)  # fmt: skip
"""Answers of a mounted filesystem whose server is away for a moment."""
_LASTING = re.compile(
    r"ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN_ID|"
    r"UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION_TOKEN|EXPIRED_TOKEN|INVALID_SIGNATURE|OPT_IN_REQUIRED|"
    r"HTTP status 4(?!08|09|25|29)\d\d|PERMISSION_DENIED|UNAUTHENTICATED|INVALID_ARGUMENT|NOT_FOUND"
)
"""What object stores answer (as pyarrow words it) to a request that they will refuse again."""


def open_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem that a URI or a local path names, and the path in it.

    Raises what pyarrow raises, which is several unrelated types: the caller says what it was for.
    """
    import pyarrow.fs as pafs

    if "://" not in uri:
        return pafs.LocalFileSystem(), os.path.abspath(uri)
    if uri.startswith(("gs://", "gcs://")) and "retry_limit_seconds=" not in uri:
        uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={GOOGLE_RETRY_S}"
    filesystem, path = pafs.FileSystem.from_uri(uri)
    return _bounded(filesystem), path


def _bounded(filesystem: pafs.FileSystem) -> pafs.FileSystem:
    """The filesystem with the limits of this module.

    Addresses have no words for those of S3, so that one is built again from all that pyarrow has read from the address
    and the environment, as it does for another process.
    """
    import pyarrow.fs as pafs

    if type(filesystem) is not pafs.S3FileSystem:
        return filesystem
    _, (options,) = filesystem.__reduce__()
    limits = {
        "connect_timeout": CONNECT_S,
        "request_timeout": SILENT_S,
        "retry_strategy": pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    }
    return pafs.S3FileSystem(**{**options, **limits})


def passing(error: OSError) -> bool:
    """Whether another try may meet a store that works again: no answer, an overloaded or a broken server.

    Not for what is missing, forbidden, full or wrong. Errors of object stores have no number, only words.
    """
    if isinstance(
        error, FileNotFoundError | PermissionError | FileExistsError | IsADirectoryError | NotADirectoryError
    ):
        return False
    if isinstance(error, ToolaceError):  # it has been tried already
        return False
    if error.errno is not None:
        return error.errno in PASSING
    return _LASTING.search(str(error)) is None


def patiently(work: Callable[[], T]) -> T:
    """What `work` returns, tried again while it raises an `OSError` that may pass; the last one is raised.

    For work that may be done twice: reading, replacing a whole file, deleting.
    """
    begun = time.monotonic()
    for wait in WAITS_S:
        try:
            return work()
        except OSError as error:
            if not passing(error) or time.monotonic() - begun + wait > PATIENCE_S:
                raise
        time.sleep(wait)
    return work()
