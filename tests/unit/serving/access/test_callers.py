"""Callers of the model server: known by hashes, with rights, and rotated without a restart."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.serving.access import callers
from airflow_mlops_provider.serving.access.__main__ import main
from airflow_mlops_provider.serving.access.callers import ANYBODY, Callers, Right, new_token


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """See a changed file with the next call."""
    monkeypatch.setattr(callers, "LOOK_SECONDS", 0.0)


def who(known: Callers, token: str) -> str | None:
    caller = known.of(f"Bearer {token}")
    return caller.name if caller else None


def test_old_and_new_token_are_valid_together(tmp_path: Path) -> None:
    """In a rotation both are; once the old line is gone, its token is nobody's, without a restart."""
    file = tmp_path / "callers"
    (old, old_line), (new, new_line) = (new_token("shop", [Right.PREDICT]) for _ in range(2))
    file.write_text(f"# who may call\n\n{old_line}  # until Friday\n")
    known = Callers(file=file)
    assert (who(known, old), who(known, new)) == ("shop", None)
    file.write_text(f"{old_line}\n{new_line}\n")
    assert (who(known, old), who(known, new)) == ("shop", "shop")
    (tmp_path / "next").write_text(f"{new_line}\n")
    (tmp_path / "next").replace(file)
    assert (who(known, old), who(known, new)) == (None, "shop")


def test_a_mounted_secret_is_followed(tmp_path: Path) -> None:
    """Kubernetes replaces the folder behind a link: the file is read anew, though its own link stays the same."""
    tokens = []
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        token, line = new_token(f"caller{number}", [Right.READ])
        (tmp_path / f"v{number}" / "callers").write_text(line)
        tokens.append(token)
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "callers").symlink_to("data/callers")
    known = Callers(file=tmp_path / "callers")
    (tmp_path / "data2").symlink_to("v2")
    (tmp_path / "data2").replace(tmp_path / "data")
    assert [who(known, token) for token in tokens] == [None, "caller2"]


@pytest.mark.parametrize(
    "line",
    [
        *("shop predict", "shop predict secret", "shop all sha256:" + "0" * 64, "../x predict sha256:" + "0" * 64),
        *("default predict sha256:" + "0" * 64, "shop predict, sha256:" + "0" * 64, "shop predict sha256:0 more"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture) -> None:
    """At the start it ends the server; later the callers stay as they were, and the log says which line it is."""
    file = tmp_path / "callers"
    token, good = new_token("shop", [Right.PREDICT])
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(ConfigurationError, match="callers, line 2: give NAME RIGHTS HASH"):
        Callers(file=file)
    file.write_text(good)
    known = Callers(file=file)
    file.write_text(f"{good}\n{line}\n")
    assert who(known, token) == "shop"
    assert "line 2" in caplog.text
    assert token not in caplog.text
    file.unlink()
    assert who(known, token) == "shop"
    with pytest.raises(ConfigurationError, match="can't be read"):
        Callers(file=file)


def test_the_one_token_keeps_every_right(tmp_path: Path) -> None:
    """It works beside a file; without either everybody may, and a file of nobody closes the server."""
    (tmp_path / "callers").write_text("")
    both = Callers("sesame", tmp_path / "callers")
    assert both.of("Bearer sesame") == ("default", frozenset(Right))
    assert [both.of(given) for given in ("", "Bearer", "Bearer ", "Basic sesame", "sesame", "Bearer \xff")] == [
        None
    ] * 6
    assert Callers().of("") == ANYBODY
    assert Callers(file=tmp_path / "callers").of("") is None


def test_a_token_is_printed_once_and_its_hash_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command adds a line to the file, which holds no token; a wrong name or right is refused and adds nothing."""
    file = tmp_path / "callers"
    for name in ("shop", "prometheus"):
        main([name, "--rights", "operate,read" if name == "prometheus" else "predict", "--file", str(file)])
        said = capsys.readouterr()
        token = said.out.strip()
        assert token not in file.read_text()
        assert hashlib.sha256(token.encode()).hexdigest() in file.read_text()
        assert who(Callers(file=file), token) == name
    kept = file.read_text()
    for wrong in (["a b"], ["shop", "--rights", "all"], ["shop", "--rights", ""]):
        with pytest.raises(SystemExit):
            main([*wrong, "--file", str(file)])
    assert file.read_text() == kept
    capsys.readouterr()
    main(["shop"])
    said = capsys.readouterr()
    assert said.err.startswith("shop predict sha256:")
