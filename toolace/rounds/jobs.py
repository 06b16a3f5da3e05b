"""Submitting a command to a Ray cluster as a job, one attempt after another until the run is finished.

Ray does not repeat a job that ended, and an id cannot be used twice: an attempt's id is `<run>-<number>`. What makes
attempts one run is its directory, where each goes on from what the ones before have finished.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolace.errors import ClusterError, ConfigError
from toolace.rounds.cluster import knock

KNOCK_S = 3.0
"""Seconds in which a GCS must answer: Ray's client waits for half a minute where nothing listens."""
STOP_S = 60
"""Seconds that a stopped driver has to leave its run in order, before Ray kills it (Ray's own default: 3)."""
_ENDED = frozenset({"STOPPED", "SUCCEEDED", "FAILED"})
_PLACE = "toolace_place"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A job of a run. `started` and `ended` are seconds since 1970, None where that is not known yet."""

    id: str
    number: int
    status: str
    place: str
    started: float | None
    ended: float | None
    message: str

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.status not in _ENDED


class Jobs:
    """The job table of the cluster at an address (a dashboard's `http://HEAD:8265`, or `HOST:PORT` of its GCS).

    Without an address `RAY_API_SERVER_ADDRESS`, `RAY_ADDRESS` or a cluster of this machine is taken. The token comes
    from Ray's own environment. Raises `ClusterError`.
    """

    def __init__(self, address: str | None = None) -> None:
        if address is not None:
            os.environ["RAY_API_SERVER_ADDRESS"] = address  # Ray's client prefers it to the address that it is given
        self._where = address or os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS") or "auto"
        from ray.job_submission import JobSubmissionClient

        with self._explained("reach"):
            if "://" not in self._where:
                knock(self._where, KNOCK_S)
            self._client: Any = JobSubmissionClient()

    def attempts(self, name: str) -> list[Attempt]:
        """The attempts of a run that the cluster remembers, in order. `name` may be the id of one."""
        with self._explained("list the jobs of"):
            jobs = self._client.list_jobs()
        found = [(job, number) for job in jobs if (number := _number(job.submission_id, name)) is not None]
        return sorted((_attempt(job, number) for job, number in found), key=lambda attempt: attempt.number)

    def latest(self, name: str) -> Attempt:
        """The last attempt of a run."""
        attempts = self.attempts(name)
        if not attempts:
            raise ClusterError(
                f"the cluster at {self._where} knows no job of {name}. Jobs are forgotten when a cluster ends; what a "
                "run has finished is in its directory, and submitting it again goes on from there"
            )
        return attempts[-1]

    def submit(
        self,
        name: str,
        command: Sequence[str],
        *,
        place: str = "",
        working_dir: Path,
        env: Mapping[str, str] | None = None,
        cpus: float = 0,
    ) -> str:
        """Submit `toolace COMMAND` and return the attempt's id.

        `place` is the directory of the run, by which a living attempt of it is found, and refused. `working_dir` is
        copied to the cluster, but for what its .gitignore and .rayignore name. The driver runs on the head, or, with
        `cpus`, on a node that has so many.
        """
        if not working_dir.is_dir():
            raise ConfigError(f"no directory {working_dir} to copy to the cluster. Give another one with --working-dir")
        attempts = self.attempts(name)
        refuse_living(name, place, attempts)
        attempt = f"{name}-{attempts[-1].number + 1 if attempts else 1}"
        with self._explained(f"submit {attempt} to"):
            try:
                self._client.submit_job(
                    entrypoint=shlex.join(["python", "-m", "toolace", *command]),
                    submission_id=attempt,
                    metadata={_PLACE: place},
                    runtime_env={
                        "working_dir": str(working_dir),
                        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S), **(env or {})},
                    },
                    **({"entrypoint_num_cpus": cpus} if cpus else {}),
                )
            except RuntimeError as error:
                if "already exists" not in str(error):
                    raise
                raise ClusterError(
                    f"its id is taken, for another submission of {name} came first. Follow that one (toolace "
                    f"submit --name {name} --follow), or stop it (--stop)"
                ) from error
        return attempt

    def follow(self, attempt: str, show: Callable[[str], None]) -> Attempt:
        """Show what a job prints until it ends."""

        async def tail() -> None:
            async for lines in self._client.tail_job_logs(attempt):
                show(lines)

        with self._explained(f"follow {attempt} on"):
            asyncio.run(tail())
        return self.wait(attempt)

    def stop(self, attempt: str) -> Attempt:
        """Ask a job to end, and wait until it has."""
        with self._explained(f"stop {attempt} on"):
            self._client.stop_job(attempt)
        return self.wait(attempt)

    def wait(self, attempt: str) -> Attempt:
        """A job as it ended."""
        while True:
            with self._explained(f"look at {attempt} on"):
                job = self._client.get_job_info(attempt)
            found = _attempt(job, _number(attempt, attempt) or 0)
            if not found.alive:
                return found
            time.sleep(0.5)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        from ray.exceptions import AuthenticationError, RayError

        try:
            yield
        except AuthenticationError as error:
            raise ClusterError(
                f"cannot {doing} the cluster at {self._where}: it refuses this token, or wants one ({_first(error)}). "
                "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token"
            ) from error
        except (ConnectionError, TimeoutError, RayError) as error:
            raise ClusterError(
                f"cannot {doing} the cluster at {self._where}: {_first(error)}. Check that it runs and that this "
                "machine reaches its dashboard: --address http://HEAD:8265, or RAY_ADDRESS"
            ) from error
        except (RuntimeError, ValueError, OSError) as error:
            raise ClusterError(f"cannot {doing} the cluster at {self._where}: {_first(error)}") from error


def refuse_living(name: str, place: str, attempts: Sequence[Attempt]) -> None:
    """Raise `ClusterError` where an attempt of the run waits or runs. The run's lock would refuse the new one too, but
    later, and only in its log."""
    for attempt in attempts:
        if attempt.alive and (not place or not attempt.place or attempt.place == place):
            since = f" since {_clock(attempt.started)}" if attempt.started else ""
            raise ClusterError(
                f"{attempt.id} is {attempt.status.lower()}{since} and works on {place or name}. Follow it (toolace "
                f"submit --name {name} --follow), stop it (--stop), or give the other run another name"
            )


def describe(attempts: Sequence[Attempt]) -> str:
    """Attempts as a table."""
    rows = [("attempt", "status", "started", "ended")]
    rows += [(one.id, one.status, _clock(one.started), _clock(one.ended)) for one in attempts]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    last = attempts[-1] if attempts else None
    if last is not None and last.status == "FAILED" and last.message:
        lines.append(last.message.strip())
    return "\n".join(lines)


def job_name(text: str) -> str:
    """A name that job ids can begin with, from any text."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "toolace"


def _number(submission_id: str | None, name: str) -> int | None:
    """The number of an attempt by its id; None where it is of another run."""
    if submission_id is None:
        return None
    given = submission_id if submission_id == name else None
    found = re.fullmatch(r".*-(\d+)" if given else rf"{re.escape(name)}-(\d+)", submission_id)
    return int(found.group(1)) if found else None


def _attempt(job: Any, number: int) -> Attempt:
    return Attempt(
        id=job.submission_id or "",
        number=number,
        status=str(job.status.value),
        place=(job.metadata or {}).get(_PLACE, ""),
        started=job.start_time / 1000 if job.start_time else None,
        ended=job.end_time / 1000 if job.end_time else None,
        message=job.message or "",
    )


def _clock(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _first(error: BaseException) -> str:
    """What an error says, as one line: the first, or the last one of a server's traceback."""
    lines = [line.strip() for line in str(error).splitlines() if re.search(r"\w", line)] or [type(error).__name__]
    return lines[-1 if "Traceback (most recent call last)" in lines[0] else 0].rstrip(".")
