"""How git is let out: with which settings and credentials, to which remotes, and what its complaints mean."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, ConflictError, MLOpsError

USER_VARIABLE = "MLOPS_SOURCE_USER"
TOKEN_VARIABLE = "MLOPS_SOURCE_TOKEN"  # noqa: S105 - the variable's name
HIDDEN = "***"
PROTOCOLS = ("file", "git", "http", "https", "ssh")
#: What reaches git of our own environment: where it is, which way out, whom it trusts, which keys SSH may use.
PASSED_ON = (
    *("PATH", "TMPDIR", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "CURL_CA_BUNDLE"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    *("no_proxy", "NO_PROXY"),
)
_SCP = re.compile(r"[A-Za-z0-9._~][A-Za-z0-9._~-]*@[A-Za-z0-9.-]+:(?!/)[^\s:]+")

_Kind = type[MLOpsError]
#: The first that is found in git's own words (``LC_ALL=C``) says what went wrong, and what to do next.
_TROUBLE: tuple[tuple[str, _Kind, str], ...] = (
    (
        r"Authentication failed|could not read (Username|Password)|HTTP 40[13]|error: 40[13]|Permission denied \(",
        ConfigurationError,
        "the remote refuses these credentials; give a user and token that may push",
    ),
    (
        r"Host key verification failed",
        ConfigurationError,
        "the remote's SSH host key is not known here; add it to known_hosts",
    ),
    (
        r"Could not resolve host|Name or service not known|Temporary failure in name resolution",
        BackendError,
        "the remote's host is not known here; check its name, or try again later",
    ),
    (
        r"\[rejected\]|non-fast-forward|fetch first|cannot lock ref|reference already exists|stale info",
        ConflictError,
        "somebody else moved that branch first; a retry looks again",
    ),
    (r"\[remote rejected\]", ConfigurationError, "the remote does not allow it; see its rules for branches"),
    (
        r"dubious ownership",
        ConfigurationError,
        "the repository belongs to another user; name its remote in a connection of type mlops_source",
    ),
    (r"from redirection|error: 30[1278]", ConfigurationError, "the remote has moved; give its new address"),
    (
        r"insufficient permission|Permission denied|Read-only file system|unable to create temporary",
        ConfigurationError,
        "the repository cannot be written from here",
    ),
    (
        r"repository .*not found|does not exist|does not appear to be a git repository|error: 404",
        ConfigurationError,
        "there is no such repository, or these credentials may not see it",
    ),
    (
        r"Failed to connect|Connection refused|timed out|error: 5\d\d|hung up|early EOF|Connection reset|Empty reply",
        BackendError,
        "the remote does not answer; a retry may help",
    ),
)


@dataclass(frozen=True)
class Credentials:
    """How git and the forge know us; both empty where the remote asks for nothing, or for an SSH key."""

    user: str = ""
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Credentials:
        """Return what some environment variables say."""
        return cls(variables.get(USER_VARIABLE, ""), variables.get(TOKEN_VARIABLE, ""))

    @property
    def basic(self) -> str:
        """The token as HTTP's basic authentication writes it."""
        return base64.b64encode(f"{self.user or 'token'}:{self.token}".encode()).decode()

    def hide(self, text: str) -> str:
        """Return a text without the token, in whatever form it stands there."""
        for secret in (self.basic, self.token) if self.token else ():
            text = text.replace(secret, HIDDEN)
        return text


def environment(url: str, credentials: Credentials, home: Path) -> dict[str, str]:
    """Return the whole environment that git gets: the token in it, where no command line and no file shows it.

    :param home: stands for the user's, in which there would be further settings and passwords.
    """
    settings = {
        "core.hooksPath": os.devnull,
        "credential.helper": "",
        "gc.auto": "0",
        # Else a remote could send the token on to another.
        "http.followRedirects": "false",
        "http.lowSpeedLimit": "1",
        "http.lowSpeedTime": "30",
    }
    if credentials.token and url.startswith(("http://", "https://")):
        settings[f"http.{url}.extraHeader"] = f"Authorization: Basic {credentials.basic}"
    numbered = {
        f"GIT_CONFIG_{part}_{number}": text
        for number, pair in enumerate(settings.items())
        for part, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return {
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=20",
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        **numbered,
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": str(home),
        "LC_ALL": "C",
    }


def trouble(url: str, arguments: Sequence[str], said: str) -> MLOpsError:
    """Return what git complained of as an error of ours, with what to do next."""
    lines = (line.strip() for line in said.splitlines() if not line.startswith(("hint:", "remote: ")))
    words = " ".join(line for line in lines if line)[-500:]
    for pattern, kind, advice in _TROUBLE:
        if re.search(pattern, said):
            return kind(f"{url}: {advice} (git {arguments[0]}: {words})")
    return BackendError(f"{url}: git {arguments[0]} failed: {words}")


def checked_remote(remote: str) -> str:
    """Return a remote as git is to be given it: a URL, ``user@host:path``, or ``file://`` for a folder.

    :raises ConfigurationError: if it is none of these, or bears a password.
    """
    if remote.startswith("/") and remote.isprintable():
        return Path(remote).as_uri()
    if _SCP.fullmatch(remote):
        return remote
    try:
        parts = urlsplit(remote)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in PROTOCOLS or not remote.isprintable() or " " in remote or not (parts.netloc or parts.path):
        shown = re.sub(r"//[^/@]*@", "//", remote)[:200]  # without its user
        raise ConfigurationError(
            f"{shown!r} is no git remote; give https://host/path, ssh://user@host/path, user@host:path or a folder"
        )
    if parts.password is not None or (parts.scheme.startswith("http") and "@" in parts.netloc) or parts.query:
        raise ConfigurationError("a git remote may bear no user and password; put them in their own fields")
    return remote
