"""Bearer keys: who may ask. Keys come from a file that is read again when it changes, and from the environment."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from toolace.errors import ServingError
from toolace.serving.config import AuthSettings, ServeConfig
from toolace.serving.errors import ApiError
from toolace.serving.keyfile import check_name, hash_key, parse_keys

RELOAD_S = 1.0
"""The keys file is looked at this often at the most, seconds: what a revocation takes to work."""

_log = logging.getLogger("toolace.serving")
_Signature = tuple[int, int, int]


class Keys:
    """The keys of an endpoint, as hashes by name.

    The file is looked at again at most once a `RELOAD_S` and read when its time, size or inode changed. A file that
    became unreadable or broken leaves the last good keys in force, with a warning; a deleted file revokes all of its
    keys. With a file or a key in the environment, `required` stays true: an endpoint never opens because keys vanished.

    Args:
        path: The keys file; None: no file.
        environment: Keys by name, not hashed.
        hashed: Keys by name, as SHA-256.
        clock: Seconds that only grow.

    Raises:
        ServingError: the file is missing or broken, or a key of the environment is unusable.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        hashed: Mapping[str, str] | None = None,
    ) -> None:
        self._path = Path(path) if path is not None else None
        self._clock = clock
        given = {check_name(name): hash_key(key) for name, key in (environment or {}).items()}
        self._environment = {**{check_name(name): key for name, key in (hashed or {}).items()}, **given}
        self._file: dict[str, str] = {}
        self._signature: _Signature | None = None
        self.required = self._path is not None or bool(self._environment)
        if self._path is not None:
            self._file, self._signature = self._read(self._path)
        self._looked = clock()

    @classmethod
    def from_settings(
        cls,
        settings: AuthSettings,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> Keys:
        """Keys of the settings: their file, and the variable that they name in `environ`."""
        given = parse_environment(environ.get(settings.keys_env, ""), settings.keys_env)
        return cls(settings.keys_file, given, clock, settings.hashed_keys)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the keys in force."""
        return tuple(dict.fromkeys((*self._environment, *self._file)))

    def check(self, authorization: str | None) -> str:
        """The name of the key in an `Authorization` header.

        Every stored hash is compared, in constant time each, so that the time taken tells neither how much of a key
        was right nor where it stands.

        Raises:
            ApiError: 401: no header, another scheme, or a key that is not in force.
        """
        self._refresh()
        scheme, _, key = (authorization or "").strip().partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise _unauthorized("This endpoint needs an API key: send the header Authorization: Bearer YOUR_KEY.")
        digest, found = hash_key(key), None
        for name, stored in (*self._environment.items(), *self._file.items()):
            if hmac.compare_digest(stored, digest):
                found = name
        if found is None:
            raise _unauthorized("The API key is not valid: it is wrong or was revoked.")
        return found

    def _refresh(self) -> None:
        now = self._clock()
        if self._path is None or now - self._looked < RELOAD_S:
            return
        self._looked = now
        try:
            signature = _signature(os.stat(self._path))
            if signature == self._signature:
                return
            # Kept before reading: a broken file is warned of once, not at each request.
            self._signature = signature
            before = self._file
            self._file, self._signature = self._read(self._path)
            _log.info("keys file %s was read again: %d keys, %d before", self._path, len(self._file), len(before))
        except FileNotFoundError:
            if self._signature is not None:
                _log.warning("keys file %s was deleted: its %d keys are revoked", self._path, len(self._file))
            self._file, self._signature = {}, None
        except (ServingError, OSError) as error:
            _log.warning("%s; the %d keys read before stay in force", error, len(self._file))

    def _read(self, path: Path) -> tuple[dict[str, str], _Signature]:
        try:
            with path.open(encoding="utf-8") as file:
                signature = _signature(os.fstat(file.fileno()))
                text = file.read()
        except FileNotFoundError:
            if self._signature is not None:
                raise  # deleted between the look and the read
            raise ServingError(
                f"there is no keys file {path}: make it with `toolace keys add NAME --file {path}`, or unset "
                "auth.keys_file"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ServingError(f"keys file {path} cannot be read ({type(error).__name__})") from None
        keys = parse_keys(text, str(path))
        if twice := set(keys) & set(self._environment):
            raise ServingError(f"a key named {min(twice)} is in the keys file {path} and the environment: rename one")
        return keys, signature


def parse_environment(text: str, variable: str) -> dict[str, str]:
    """Keys by name from `name=key,name2=key2`. Raises `ServingError` naming the place of a bad pair, not its text."""
    found: dict[str, str] = {}
    for number, pair in enumerate(text.split(","), start=1):
        if not pair.strip():
            continue
        name, equals, key = (part.strip() for part in pair.partition("="))
        usable = key.isascii() and key.isprintable() and " " not in key
        if not equals or not key or not usable:
            raise ServingError(
                f"{variable}: pair {number} is not name=key; write name=key,name2=key2, keys without spaces or commas"
            )
        if check_name(name) in found:
            raise ServingError(f"{variable}: pair {number} names {name} again: rename one")
        found[name] = key
    return found


def with_environment(config: ServeConfig, environ: Mapping[str, str] = os.environ) -> ServeConfig:
    """The settings with the keys of this process's environment in them, hashed: the endpoint's own processes may run
    on nodes of a cluster whose environment is another."""
    given = parse_environment(environ.get(config.auth.keys_env, ""), config.auth.keys_env)
    if not given:
        return config
    hashed = {**config.auth.hashed_keys, **{name: hash_key(key) for name, key in given.items()}}
    return config.model_copy(update={"auth": config.auth.model_copy(update={"hashed_keys": hashed})})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`; a name other than `localhost` counts as public."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def require_safe(config: ServeConfig, environ: Mapping[str, str] = os.environ) -> str | None:
    """Check that the endpoint may start with these settings; the text of a warning to show, or None.

    Raises:
        ServingError: it has no keys and an address that others can reach, or its keys are unusable.
    """
    keys = Keys.from_settings(config.auth, environ)
    if keys.required:
        if not keys.names:
            return f"keys file {config.auth.keys_file} holds no key: every request is refused until one is added"
        if config.auth.open:
            return "auth.open has no effect: keys are configured, and every request needs one"
        return None
    if not config.auth.open and not is_loopback(config.host):
        raise ServingError(
            f"host {config.host} can be reached from other machines and no keys are configured: make one with "
            "`toolace keys add NAME --file FILE` and set auth.keys_file=FILE, bind to 127.0.0.1, or set auth.open=true "
            "to serve anyone"
        )
    who = "anyone who reaches it" if config.auth.open else "anyone on this machine"
    return f"no API keys are configured: {who} may use this endpoint"


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key")


def _signature(stat: os.stat_result) -> _Signature:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
