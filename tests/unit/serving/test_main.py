"""The command line: who may listen where."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops_provider.serving import __main__ as command

TOKEN = "sesame"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "serving.example"])
def test_listening_to_others_needs_a_token_or_a_word(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without either the command ends before it builds anything; with one of them, or on this machine, it goes on."""

    class BuiltError(Exception):
        pass

    def build(_: Any) -> None:
        raise BuiltError

    monkeypatch.setattr(command, "build", build)
    monkeypatch.delenv(command.TOKEN_VARIABLE, raising=False)
    arguments = ["--product", "p", "--root", "r", "--host"]
    with pytest.raises(SystemExit):
        command.main([*arguments, host])
    assert "set MLOPS_SERVING_TOKEN to a token that callers must send, name a file" in capsys.readouterr().err
    for fine in ([host, "--no-token"], ["127.0.0.1"], ["localhost"], ["::1"]):
        with pytest.raises(BuiltError):
            command.main([*arguments, *fine])
    monkeypatch.setenv(command.TOKEN_VARIABLE, TOKEN)
    with pytest.raises(BuiltError):
        command.main([*arguments, host])
