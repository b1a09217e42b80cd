"""Online stores that do not answer: what their clients raise, and what is said of it."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from airflow_mlops_provider.exceptions import MissingExtraError

#: By the kind of store, what its extra brings, and where which errors are.
_CLIENTS = {
    "dynamodb": ("aiobotocore", "botocore.exceptions", ("BotoCoreError", "ClientError")),
    "postgres": ("psycopg", "psycopg", ("Error",)),
    "redis": ("redis", "redis", ("RedisError",)),
}


def client_errors(kind: str) -> tuple[type[Exception], ...]:
    """Return what an online store's client raises. :raises MissingExtraError: if it is not installed."""
    if kind not in _CLIENTS:
        return (sqlite3.Error,)
    needed, module, names = _CLIENTS[kind]
    if sys.modules.get(needed) is None and find_spec(needed) is None:
        raise MissingExtraError(f"the {kind} online store needs: pip install 'airflow-mlops-provider[{kind}]'")
    return tuple(getattr(import_module(module), name) for name in names)


def unanswered(online: Mapping[str, Any], error: Exception) -> str | None:
    """Say which server did not answer; None for a store that is none.

    :param online: settings, which may hold a password, so only hosts are named.
    """
    kind = online["type"]
    if kind == "redis":
        parts = str(online.get("connection_string", "localhost:6379")).split(",")
        hosts = ", ".join(part for part in parts if "=" not in part)
        return f"Redis at {hosts} did not answer: {type(error).__name__}"
    if kind == "postgres":
        where = f"{online['host']}:{online.get('port', 5432)}/{online['database']}"
        return f"PostgreSQL at {where} did not answer: {type(error).__name__}: {error}"
    if kind == "dynamodb":
        # What AWS says beside its code may repeat the request, with the token of a session.
        said = getattr(error, "response", None) or {}
        code = said.get("Error", {}).get("Code") or type(error).__name__
        return f"DynamoDB {_place(online)} did not answer: {code}"
    return None


def _place(online: Mapping[str, Any]) -> str:
    """Say where a DynamoDB is: at which host, or in which of AWS' regions."""
    address = urlsplit(online.get("endpoint_url") or "")
    host = f"{address.hostname}:{address.port}" if address.port else address.hostname
    return f"at {host}" if host else f"in {online.get('region')}"
