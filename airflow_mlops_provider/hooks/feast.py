"""Feast: a team's repository, and the online store of products."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends import probes
from airflow_mlops_provider.hooks.base import ServiceHook
from airflow_mlops_provider.lifecycle.serving.pods import CREDENTIAL

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.feature_store.feast.repository import FeastRepository

PASSWORD_VARIABLE = "MLOPS_ONLINE_STORE_PASSWORD"  # noqa: S105 - the variable's name


class FeastHook(ServiceHook):
    """Feast: a repository that a team keeps, and the online store of products.

    ``repository`` is the folder of a ``feature_store.yaml``, or that file itself: operators and sensors that name the
    connection work on it as it stands. Its configuration names secrets as ``${NAME}``: the password is
    ``${MLOPS_ONLINE_STORE_PASSWORD}``, and ``secrets`` takes further ones by name as JSON.

    The other fields are for products, whose feature stores we make; without a connection theirs is an SQLite file
    beside the product's features.

    ``online_store`` says which kind. For Redis, host and port (or ``connection_string``, as Feast writes it) say where,
    for PostgreSQL host, port, login and schema, which is the database; the password goes into its own field.
    ``options`` takes further settings of that store as JSON, such as PostgreSQL's ``db_schema`` and ``sslmode``.
    DynamoDB has those alone, ``region`` among them: boto3 finds its keys where it always does.
    """

    default_conn_name = "mlops_feast"
    conn_type = "feast"
    hook_name = "Feast"
    password_variable = PASSWORD_VARIABLE

    def get_conn(self) -> Any:
        """Return the ``FeatureStore`` of the connection's repository. :raises ConfigurationError: if it has none."""
        return self.open().store

    def open(self) -> FeastRepository:
        """Return the connection's repository, with its secrets. :raises ConfigurationError: if it has none."""
        from airflow_mlops_provider.backends.feature_store.feast.repository import FeastRepository

        return FeastRepository(self.repository(), self.secrets())

    def repository(self) -> Path:
        """Return the folder or file of the connection's repository. :raises ConfigurationError: if it has none."""
        given = self.extra.get("repository")
        if not given:
            raise self.error("has no repository; give the folder of its feature_store.yaml")
        return Path(given).expanduser()

    def settings(self) -> dict[str, Any]:
        """Return Feast's online store settings; a password is in them by its variable's name."""
        kind = self.extra.get("online_store") or ("redis" if self.connection.host else "sqlite")
        known = {"dynamodb": self._dynamodb, "postgres": self._postgres, "redis": self._redis, "sqlite": dict[str, Any]}
        if kind not in known:
            raise self.error(f"unknown online store {kind!r}; known: {', '.join(known)}")
        return {"type": kind, **self._object("options"), **known[kind]()}

    def secrets(self) -> dict[str, str]:
        """Return the online store's password, and what the repository's configuration names further.

        :raises ConfigurationError: for a name that does not say that it is a secret: it would be printed, and a
            variable such as ``PATH`` changes more than Feast.
        """
        kind = self.extra.get("online_store")
        if "," in (self.connection.password or "") and not self.extra.get("repository") and kind != "postgres":
            raise self.error("Feast cannot take a password with a comma in it")
        further = self._object("secrets")
        for name, value in further.items():
            if not (
                re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and CREDENTIAL.search(name) and isinstance(value, str)
            ):
                raise self.error(
                    f"secrets has {name!r}; give text by names with PASSWORD, TOKEN, SECRET or KEY in them"
                )
        return {**super().secrets(), **further}

    def probe(self) -> str:
        """Read the repository's registry, or ping the online store."""
        if self.extra.get("repository"):
            views = self.open().views()
            return f"{self.repository()} has {len(views)} feature view(s): {', '.join(sorted(views))}"[:300]
        settings = self.settings()
        if settings["type"] == "sqlite":
            return "Feast's SQLite store needs no server"
        if settings["type"] == "postgres":
            probes.postgres(settings, self.connection.password)
            return f"PostgreSQL answers at {settings['host']}:{settings['port']}/{settings['database']}"
        if settings["type"] == "dynamodb":
            probes.dynamodb(settings)
            return f"DynamoDB answers in {settings['region']}"
        nodes, _, options = settings["connection_string"].partition(",")
        host, _, port = nodes.partition(":")
        conn, tls = self.connection, "ssl=true" in options.lower()
        probes.redis(host, int(port or 6379), conn.login, conn.password, tls=tls)
        return f"Redis answers at {nodes}"

    def _dynamodb(self) -> dict[str, Any]:
        given = [field for field in ("host", "port", "schema", "login", "password") if getattr(self.connection, field)]
        if given:
            raise self.error(
                f"a DynamoDB online store takes no {', '.join(given)}: options say where, boto3 finds keys"
            )
        if not self._object("options").get("region"):
            raise self.error("a DynamoDB online store needs a region in its options")
        return {}

    def _postgres(self) -> dict[str, Any]:
        conn = self.connection
        missing = [field for field in ("host", "login", "password", "schema") if not getattr(conn, field)]
        if missing:
            raise self.error(f"a PostgreSQL online store needs {', '.join(missing)}; schema is the database")
        where = {"host": conn.host, "port": conn.port or 5432, "database": conn.schema, "user": conn.login}
        return {**where, "password": f"${{{PASSWORD_VARIABLE}}}"}

    def _redis(self) -> dict[str, str]:
        conn = self.connection
        host = f"{conn.host}:{conn.port or 6379}" if conn.host else None
        given = self.extra.get("connection_string") or host
        if not given:
            raise self.error("a Redis online store needs a host")
        if "password=" in given:
            raise self.error("put the password in its own field")
        parts = [given, *([f"username={conn.login}"] if conn.login else [])]
        # Only the variable's name travels: settings are shown in manifests, the value reaches the job alone.
        parts += [f"password=${{{PASSWORD_VARIABLE}}}"] if conn.password else []
        return {"connection_string": ",".join(parts)}

    def _object(self, field: str) -> dict[str, Any]:
        given = self.extra.get(field) or {}
        try:
            value = json.loads(given) if isinstance(given, str) else given
        except ValueError:
            raise self.error(f"{field} is no JSON") from None
        if not isinstance(value, dict):
            raise self.error(f"{field} must be a JSON object")
        return value
