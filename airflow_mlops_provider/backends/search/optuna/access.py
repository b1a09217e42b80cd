"""How a search's database is reached: its URL is passed on without credentials; they come from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, MissingExtraError

USER_VARIABLE = "MLOPS_SEARCH_STORAGE_USER"
PASSWORD_VARIABLE = "MLOPS_SEARCH_STORAGE_PASSWORD"  # noqa: S105 - the variable's name
SECONDS = 5


def checked(url: str) -> str:
    """Return a SQLAlchemy URL that may be shown.

    :raises ConfigurationError: if it is not one, or has a user name or password in it.
    """
    scheme, separator, rest = url.partition("://")
    if not scheme or not separator:
        raise ConfigurationError(f"{url!r} is no database URL; give dialect+driver://host:port/database")
    if "@" in rest.partition("/")[0]:
        raise ConfigurationError(
            f"the search's database URL of {scheme} has credentials in it, which every manifest would show; put host, "
            "user name and password into the connection mlops_optuna"
        )
    return url


def full(url: str, environment: Mapping[str, str]) -> Any:
    """Return the SQLAlchemy URL with its credentials."""
    from sqlalchemy import make_url

    return make_url(url).set(username=environment.get(USER_VARIABLE), password=environment.get(PASSWORD_VARIABLE))


def probe(url: str, environment: Mapping[str, str]) -> str:
    """Connect to the database and return a line that says so.

    :raises BackendError: if it can't be used.
    :raises MissingExtraError: if its driver is not installed.
    """
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(full(url, environment))
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
    except ImportError as error:
        raise MissingExtraError(f"{url} needs a driver: {missing_extra(error) or error}") from None
    except SQLAlchemyError as error:
        raise BackendError(f"{url} does not answer: {str(error.__cause__ or error)[:300]}") from None
    return f"{url} answers"
