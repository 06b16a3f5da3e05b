"""Submitting a command to a Ray cluster as a job, one attempt after another until the run is finished.

Ray does not repeat a job that ended, and an id cannot be used twice: an attempt's id is `<run>-<number>`. What makes
attempts one run is its directory, where each goes on from what the ones before have finished.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from toolace.dashboard import GONE_S, REQUEST_S, NoAnswer, Patience, bounded
from toolace.errors import ClusterError, ConfigError
from toolace.rounds.cluster import knock

KNOCK_S = 3.0
"""Seconds in which a GCS must answer: Ray's client waits for half a minute where nothing listens."""
LOOK_S = 30.0
"""Seconds without a line of a job's log after which its status is asked for: a job may be silent for hours, and so may
a connection that is dead."""
STOP_S = 60
"""Seconds that a stopped driver has to leave its run in order, before Ray kills it (Ray's own default: 3)."""
_ENDED = frozenset({"STOPPED", "SUCCEEDED", "FAILED"})
_PLACE = "toolace_place"
_RUN = "toolace_run"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A job of a run. `place` is the directory of its results, "" where that is not known. `started` and `ended` are
    seconds since 1970, None where that is not known yet."""

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
    from Ray's own environment. Each request has `limit_s` seconds to be answered; what waits for a job bears a silence
    of `gone_s`, and looks after it when its log has said nothing for `look_s`. Raises `ClusterError`.
    """

    _gone_s, _look_s = GONE_S, LOOK_S

    def __init__(
        self, address: str | None = None, *, limit_s: float = REQUEST_S, gone_s: float = GONE_S, look_s: float = LOOK_S
    ) -> None:
        self._gone_s, self._look_s = gone_s, look_s
        if address is not None:
            os.environ["RAY_API_SERVER_ADDRESS"] = address  # Ray's client prefers it to the address that it is given
        self._where = address or os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS") or "auto"
        from ray.job_submission import JobSubmissionClient

        scheme, separator, _ = self._where.partition("://")
        if separator and scheme not in ("http", "https"):
            raise ConfigError(
                f"jobs are submitted to a cluster's dashboard, and {self._where} is none: --address http://HEAD:8265, "
                "or RAY_API_SERVER_ADDRESS"
            )
        with self._explained("reach"):
            if "://" not in self._where:
                knock(self._where, KNOCK_S)
            self._client: Any = bounded(JobSubmissionClient, limit_s)()

    def attempts(self, name: str, place: str = "") -> list[Attempt]:
        """The attempts of a run that the cluster remembers, in order; with `place`, those that work there.

        Where no run has the name it may be the id of one attempt. Raises `ClusterError` where there is none.
        """
        jobs = self._jobs()
        named = _attempts(jobs, name)
        found = named or [_attempt(job) for job in jobs if job.submission_id == name and _run(job) is not None]
        if place:
            found = [attempt for attempt in found if same_place(attempt.place, place)]
        if found:
            return found
        if named:
            raise ClusterError(
                f"the cluster at {self._where} knows no job of {name} that works on {place}. It knows "
                f"{_listed(named)}. Give the command with the settings of that one, or its id (--name {named[-1].id})"
            )
        raise ClusterError(
            f"the cluster at {self._where} knows no job of {name}. Jobs are forgotten when a cluster ends; what a "
            "run has finished is in its directory, and submitting it again goes on from there"
        )

    def latest(self, name: str, place: str = "") -> Attempt:
        """The attempt of a run that waits or runs, or else the last one; with `place`, of the run that is there.

        Raises `ClusterError` where there is none, or where runs of that name are at work in several places.
        """
        attempts = self.attempts(name, place)
        alive = [attempt for attempt in attempts if attempt.alive]
        if len({_normal(attempt.place) for attempt in alive}) > 1:
            raise ClusterError(
                f"several jobs of {name} are at work: {_listed(alive)}. Say which: by its id (--name {alive[-1].id}), "
                "or, with --stop and --status, by its command after -- (run --config FILE --set root=...)"
            )
        return (alive or attempts)[-1]

    def _jobs(self) -> list[Any]:
        with self._explained("list the jobs of"):
            jobs: list[Any] = self._client.list_jobs()
        return jobs

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

        `place` is the directory of the run: a living attempt that works there is refused, whatever its run is called.
        `working_dir` is copied to the cluster, but for what its .gitignore and .rayignore name. The driver runs on the
        head, or, with `cpus`, on a node that has so many.
        """
        if not working_dir.is_dir():
            raise ConfigError(f"no directory {working_dir} to copy to the cluster. Give another one with --working-dir")
        jobs = self._jobs()
        attempts = _attempts(jobs, name)
        refuse_living(name, place, attempts)
        refuse_living(name, place, [one for one in map(_attempt, jobs) if place and one.place])
        attempt = f"{name}-{attempts[-1].number + 1 if attempts else 1}"
        with self._explained(f"submit {attempt} to"):
            try:
                self._client.submit_job(
                    entrypoint=shlex.join(["python", "-m", "toolace", *command]),
                    submission_id=attempt,
                    metadata={_RUN: name, _PLACE: place},
                    runtime_env={
                        "working_dir": str(working_dir),
                        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S), **(env or {})},
                    },
                    **({"entrypoint_num_cpus": cpus} if cpus else {}),
                )
            except NoAnswer as error:
                raise NoAnswer(
                    f"{error}. It may have been taken all the same: toolace submit --name {name} --status tells"
                ) from error
            except RuntimeError as error:
                if "already exists" not in str(error):
                    raise
                raise ClusterError(
                    f"its id is taken, for another submission of {name} came first. Follow that one (toolace "
                    f"submit --name {name} --follow), or stop it (--stop)"
                ) from error
        return attempt

    def follow(self, attempt: str, show: Callable[[str], None]) -> Attempt:
        """Show what a job prints until it ends. Its log may be silent for as long as it likes, the cluster may not."""
        with self._left_alone(attempt):
            if not self._show(attempt, show):
                show(f"(no more of its log comes: ray job logs {attempt} shows it)\n")
            return self.wait(attempt)

    def _show(self, attempt: str, show: Callable[[str], None]) -> bool:
        """Show a job's log, to its end or until the job has ended and nothing more comes; whether it was to its end.

        The log comes through a thread: this one must be free to look after the job, and for Ctrl-C.
        """
        lines: SimpleQueue[str | BaseException | None] = SimpleQueue()
        threading.Thread(target=_tail, args=(self._client, attempt, lines.put), name="log", daemon=True).start()
        patience, ended = Patience(self._gone_s), False
        while True:
            try:
                found = lines.get(timeout=self._look_s)
            except Empty:
                if ended:
                    return False
                with self._explained(f"follow {attempt} on"):
                    job = patience.ask(lambda: self._client.get_job_info(attempt))
                ended = job is not None and not _attempt(job).alive
                continue
            patience.heard()
            if found is None:
                return True
            if isinstance(found, TimeoutError):  # of a log that never began
                return False
            if isinstance(found, BaseException):
                with self._explained(f"follow {attempt} on"):
                    raise RuntimeError(f"its log broke off: {type(found).__name__}: {found}") from found
            show(found)

    def stop(self, attempt: str) -> Attempt:
        """Ask a job to end, and wait until it has."""
        with self._left_alone(attempt):
            with self._explained(f"stop {attempt} on"):
                self._client.stop_job(attempt)
            return self.wait(attempt)

    def wait(self, attempt: str) -> Attempt:
        """A job as it ended."""
        patience = Patience(self._gone_s)
        while True:
            with self._explained(f"look at {attempt} on"):
                job = patience.ask(lambda: self._client.get_job_info(attempt))
            if job is not None and not (found := _attempt(job)).alive:
                return found
            time.sleep(0.5)

    @contextmanager
    def _left_alone(self, attempt: str) -> Iterator[None]:
        """What ends the waiting does not end the job: say so."""
        try:
            yield
        except ClusterError as error:
            raise ClusterError(
                f"{error}. {attempt} may still be at work: toolace submit --name {attempt} --status tells, and "
                "--follow shows its log again"
            ) from error

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
                f"cannot {doing} the cluster at {self._where}: {_first(error)}. Check that it runs, that its "
                "head is not short of memory, and that this machine reaches its dashboard: --address "
                "http://HEAD:8265, or RAY_ADDRESS"
            ) from error
        except (AttributeError, KeyError, TypeError, JSONDecodeError) as error:  # Ray's client trusts any answer
            raise ClusterError(
                f"cannot {doing} the cluster at {self._where}: what answers there is not Ray's dashboard, or one of "
                f"another version ({type(error).__name__}: {_first(error)}). Give the dashboard's address, as "
                "--address http://HEAD:8265"
            ) from error
        except (RuntimeError, ValueError, OSError) as error:
            raise ClusterError(f"cannot {doing} the cluster at {self._where}: {_first(error)}") from error


def refuse_living(name: str, place: str, attempts: Sequence[Attempt]) -> None:
    """Raise `ClusterError` where an attempt of the run waits or runs. The run's lock would refuse the new one too, but
    later, and only in its log."""
    for attempt in attempts:
        if attempt.alive and (not place or not attempt.place or same_place(attempt.place, place)):
            since = f" since {_clock(attempt.started)}" if attempt.started else ""
            raise ClusterError(
                f"{attempt.id} is {attempt.status.lower()}{since} and works on {place or name}. Follow it (toolace "
                f"submit --name {attempt.id} --follow), stop it (--stop), or give the other run another name"
            )


def describe(attempts: Sequence[Attempt]) -> str:
    """Attempts as a table."""
    rows = [("attempt", "status", "started", "ended", "place")]
    rows += [(one.id, one.status, _clock(one.started), _clock(one.ended), one.place) for one in attempts]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    last = attempts[-1] if attempts else None
    if last is not None and last.status == "FAILED" and last.message:
        lines.append(last.message.strip())
    return "\n".join(lines)


def job_name(text: str) -> str:
    """A name that job ids can begin with, from any text."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "toolace"


def same_place(one: str, other: str) -> bool:
    """Whether two directories of results are one: `/mnt/a//demo/` is `/mnt/a/demo`."""
    return _normal(one) == _normal(other)


def _normal(place: str) -> str:
    scheme, separator, path = place.rpartition("://")
    path = posixpath.normpath(re.sub("/+", "/", path)) if path else ""
    return path if scheme == "file" else f"{scheme}{separator}{path}"


def _listed(attempts: Sequence[Attempt]) -> str:
    """Attempts with their places, in a sentence."""
    return ", ".join(f"{one.id} ({one.status.lower()}) on {one.place or 'a place unknown here'}" for one in attempts)


def _run(job: Any) -> tuple[str, int] | None:
    """The run that a job is an attempt of, and which one; None for a job that is none.

    The run is in the metadata of what `toolace submit` sends; else, as of `ray job submit --submission-id`, it is what
    the id begins with.
    """
    found = re.fullmatch(r"(.+)-(\d+)", job.submission_id or "", re.DOTALL)
    if found is None:
        return None
    return str((job.metadata or {}).get(_RUN, found.group(1))), int(found.group(2))


def _attempts(jobs: Sequence[Any], name: str) -> list[Attempt]:
    """The attempts of a run, in order."""
    found = [_attempt(job) for job in jobs if (run := _run(job)) is not None and run[0] == name]
    return sorted(found, key=lambda attempt: attempt.number)


def _tail(client: Any, attempt: str, put: Callable[[str | BaseException | None], None]) -> None:
    """Hand on what a job prints, then None, or the error that ended it."""

    async def tail() -> None:
        async for lines in client.tail_job_logs(attempt):
            put(lines)

    try:
        asyncio.run(tail())
    except BaseException as error:
        put(error)
    else:
        put(None)


def _attempt(job: Any) -> Attempt:
    run = _run(job)
    return Attempt(
        id=job.submission_id or "",
        number=run[1] if run else 0,
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
