"""Keys: the file at rest, the environment, reload, comparison, what may start, and `toolace keys`."""

from __future__ import annotations

import hmac
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from toolace.cli.main import app
from toolace.errors import ServingError
from toolace.serving import auth
from toolace.serving.auth import Keys, is_loopback, parse_environment, require_safe
from toolace.serving.config import AuthSettings, ServeConfig
from toolace.serving.errors import ApiError
from toolace.serving.keyfile import add_key, hash_key, list_keys, parse_keys, revoke_key


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def accepts(keys: Keys, key: str) -> bool:
    try:
        keys.check(f"Bearer {key}")
    except ApiError as error:
        assert error.status == 401
        return False
    return True


@pytest.fixture
def reloading(tmp_path: Path) -> tuple[Keys, str, Path, Callable[[], None]]:
    """Keys of a file with one key; that key; the file; what lets the reload time pass."""
    file, clock = tmp_path / "keys", Clock()
    key = add_key(file, "one")
    keys = Keys(file, clock=clock)

    def wait() -> None:
        clock.now += auth.RELOAD_S

    return keys, key, file, wait


# --- the file


def test_keys_file_holds_hashes_only_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# operators\n\n")
    file.chmod(0o644)
    first, second = add_key(file, "a.b"), add_key(file, "c_d-1")
    assert first.startswith("tk-") and len(first) == 46 and first != second
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert first not in text and first[3:] not in text
    assert text == f"# operators\n\na.b: {hash_key(first)}\nc_d-1: {hash_key(second)}\n"
    assert parse_keys(text, "x") == {"a.b": hash_key(first), "c_d-1": hash_key(second)}
    revoke_key(file, "a.b")
    assert list_keys(file) == ["c_d-1"] and file.read_text().startswith("# operators\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_a_link_to_the_keys_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("")
    (tmp_path / "link").symlink_to("real")
    add_key(tmp_path / "link", "a")
    assert (tmp_path / "link").is_symlink() and list_keys(tmp_path / "real") == ["a"]


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        (["secret-pasted-here"], 1),
        (["# fine", "", "name: secret-pasted-here"], 3),
        (["name: " + "A" * 64], 1),
        (["two words: " + "a" * 64], 1),
        (["a: " + "a" * 64, "b: " + "b" * 63], 2),
        (["a: " + "a" * 64, "# x", "a: " + "b" * 64], 3),
    ],
)
def test_a_bad_line_is_named_but_not_shown(lines: list[str], number: int) -> None:
    with pytest.raises(ServingError, match=rf"f\.keys, line {number} ") as caught:
        parse_keys("\n".join(lines), "f.keys")
    assert "secret" not in str(caught.value) and "bbb" not in str(caught.value) and "AAA" not in str(caught.value)


def test_a_failed_edit_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    add_key(file, "a")
    before = file.read_bytes()
    for edit in (lambda: add_key(file, "a"), lambda: add_key(file, "b c"), lambda: revoke_key(file, "z")):
        with pytest.raises(ServingError):
            edit()
    assert file.read_bytes() == before
    file.write_text("broken\n")
    with pytest.raises(ServingError, match="line 1"):
        add_key(file, "b")
    assert file.read_text() == "broken\n" and [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_a_file_that_cannot_be_replaced_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_key(tmp_path / "keys", "a")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ServingError, match="cannot be written: No space left"):
        add_key(tmp_path / "keys", "b")
    assert [path.name for path in tmp_path.iterdir()] == ["keys"] and list_keys(tmp_path / "keys") == ["a"]


@pytest.mark.parametrize("edit", [lambda f: revoke_key(f, "a"), list_keys, Keys, lambda f: add_key(f / "x" / "y", "a")])
def test_a_missing_file_is_named(edit: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="nowhere"):
        edit(tmp_path / "nowhere")


# --- checking


def test_every_entry_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    made = [add_key(file, f"k{n}") for n in range(3)]
    keys = Keys(file, {"env": "from-env"})
    compared: list[str] = []
    compare = hmac.compare_digest

    def counting(stored: str, given: str) -> bool:
        compared.append(stored)
        return compare(stored, given)

    monkeypatch.setattr(auth.hmac, "compare_digest", counting)
    for key, name in [(made[0], "k0"), (made[2], "k2"), ("from-env", "env")]:
        compared.clear()
        assert keys.check(f"Bearer {key}") == name
        assert sorted(compared) == sorted(map(hash_key, [*made, "from-env"]))
    compared.clear()
    assert not accepts(keys, "wrong") and len(compared) == 4


def test_a_hash_is_not_a_key(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "a")
    assert not accepts(Keys(tmp_path / "keys"), hash_key(key))


def test_a_broken_file_keeps_the_last_good_keys(reloading: Any, caplog: pytest.LogCaptureFixture) -> None:
    keys, key, file, wait = reloading
    file.write_text("half a li")
    wait()
    assert accepts(keys, key)
    wait()
    assert accepts(keys, key)
    assert len([r for r in caplog.records if "line 1" in r.getMessage()]) == 1 and "half" not in caplog.text
    file.write_text(f"two: {hash_key('another')}\n")
    wait()
    assert not accepts(keys, key) and accepts(keys, "another")


def test_a_deleted_file_revokes_all_and_does_not_open(reloading: Any) -> None:
    keys, key, file, wait = reloading
    file.unlink()
    wait()
    assert not accepts(keys, key) and keys.required
    new = add_key(file, "again")
    wait()
    assert accepts(keys, new)


def test_an_emptied_file_refuses_everybody(reloading: Any) -> None:
    keys, key, file, wait = reloading
    revoke_key(file, "one")
    wait()
    assert not accepts(keys, key) and keys.required and keys.names == ()


def test_a_change_of_the_same_size_and_time_is_seen(reloading: Any) -> None:
    keys, key, file, wait = reloading
    before = file.stat()
    fresh = file.with_name("fresh")
    fresh.write_text(f"one: {hash_key('new')}\n")
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.replace(file)
    assert file.stat().st_size == before.st_size
    wait()
    assert not accepts(keys, key) and accepts(keys, "new")


# --- the environment


def test_keys_from_the_environment() -> None:
    assert parse_environment(" a=x=y , b=z,,", "V") == {"a": "x=y", "b": "z"}
    settings = AuthSettings(keys_env="MY_KEYS")
    keys = Keys.from_settings(settings, {"MY_KEYS": "a=secret", "TOOLACE_API_KEYS": "b=other"})
    assert keys.check("Bearer secret") == "a" and not accepts(keys, "other")


@pytest.mark.parametrize("text", ["a", "a=x,secret", "a=", "=secret", "a=se cret", "a=x,a=y", "a=secrét"])
def test_a_bad_environment_is_told_without_its_text(text: str) -> None:
    with pytest.raises(ServingError) as caught:
        parse_environment(text, "MY_KEYS")
    assert "se cret" not in str(caught.value) and "secr" not in str(caught.value)


def test_one_name_is_one_key(tmp_path: Path) -> None:
    add_key(tmp_path / "keys", "a")
    with pytest.raises(ServingError, match="a key named a is in"):
        Keys(tmp_path / "keys", {"a": "x"})


# --- what may start


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True), ("[::1]", True),
        ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("", False), ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False), ("example.org", False), ("localhost.example.org", False),
    ],
)  # fmt: skip
def test_loopback_addresses(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_public_address_needs_keys_or_force(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    add_key(file, "a")
    public: dict[str, Any] = {"host": "0.0.0.0"}
    with pytest.raises(ServingError, match=r"0\.0\.0\.0.*toolace keys add.*auth\.open=true"):
        require_safe(ServeConfig(**public), {})
    assert "anyone who reaches it" in str(require_safe(ServeConfig(**public, auth={"open": True}), {}))
    assert "anyone on this machine" in str(require_safe(ServeConfig(), {}))
    assert require_safe(ServeConfig(**public, auth={"keys_file": str(file)}), {}) is None
    assert require_safe(ServeConfig(**public), {"TOOLACE_API_KEYS": "a=b"}) is None
    assert "no effect" in str(require_safe(ServeConfig(**public, auth={"open": True}), {"TOOLACE_API_KEYS": "a=b"}))
    revoke_key(file, "a")
    assert "no key" in str(require_safe(ServeConfig(**public, auth={"keys_file": str(file)}), {}))
    with pytest.raises(ServingError, match="nowhere"):
        require_safe(ServeConfig(auth={"keys_file": str(tmp_path / "nowhere")}), {})


# --- the command


def test_the_command_adds_lists_and_revokes(tmp_path: Path) -> None:
    file, runner = tmp_path / "keys", CliRunner()

    def run(*args: str) -> Any:
        return runner.invoke(app, ["keys", *args, "--file", str(file)])

    added = run("add", "ann")
    key = added.stdout.strip()
    assert added.exit_code == 0 and Keys(file).check(f"Bearer {key}") == "ann" and "only its hash" in added.stderr
    again = run("add", "ann")
    assert isinstance(again.exception, ServingError) and "already has a key named ann" in str(again.exception)
    assert run("add", "bob").exit_code == 0
    assert run("list").stdout.split() == ["ann", "bob"] and json.loads(run("list", "--json").stdout) == ["ann", "bob"]
    assert run("revoke", "ann").exit_code == 0 and list_keys(file) == ["bob"]
    missing = run("revoke", "ann")
    assert isinstance(missing.exception, ServingError) and "it has: bob" in str(missing.exception)
