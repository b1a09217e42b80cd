"""Places by name: those that ``[mlops] places`` describes, so that the same DAG file moves to a cluster unedited."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow.sdk import Context, conf
from pydantic import BaseModel, ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.extensions import PLACES
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.places.base import Place

USUAL = "local_process"


def find(name: str, team: str | None = None, what: str = "place") -> Place:
    """Return a new place: one that ``[mlops] places`` describes, or a kind as it is without settings.

    :param team: whose own places come before everybody's.
    :param what: what messages call the name.
    :raises UnknownNameError: if there is no such place; the message lists the known ones. Import paths are no names: a
        person may have typed this one into a form.
    :raises ConfigurationError: if it can't work as it is described; the message names the setting.
    """
    places = described(team)
    if name not in places and name not in PLACES.known():
        raise UnknownNameError(what, name, {*places, *PLACES.known()})
    settings = dict(places.get(name, {"kind": name}))
    try:
        return _kind(settings.pop("kind", None))(**settings)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, line['loc']))} {line['msg']}".strip() for line in error.errors()]
        why = "; ".join(lines)
    except (TypeError, ValueError) as error:  # also what another's constructor raises
        why = str(error)
    raise ConfigurationError(f"place {name!r} can't work as [mlops] places describes it: {why[:1000]}")


def chosen(*names: str | None, team: str | None = None) -> Place:
    """Return the place of the first name that is one, else that of ``[mlops] default_place``. Raises as :func:`find`.

    :param names: the nearest choice first; a template may have rendered to nothing, or to ``None``.
    """
    for name in names:
        if name and name.strip() not in {"", "None"}:
            return find(name.strip(), team)
    return find(option("default_place", team) or USUAL, team, "place in [mlops] default_place")


def rendered(place: Place, render: Callable[[dict[str, Any]], dict[str, Any]]) -> Place:
    """Return a place in whose settings no template is left; :class:`LocalProcess` and its like have none."""
    fields = {name: getattr(place, name) for name in place.model_fields_set} if isinstance(place, BaseModel) else {}
    return type(place)(**render(fields)) if "{{" in repr(fields) else place


def check(name: str) -> None:
    """Refuse a place that can't be had, while a DAG is parsed. Raises as :func:`find`.

    A template is rendered, and in an Airflow of several teams the team is known, only when the task runs.
    """
    if "{{" not in name and not _has_teams():
        find(name)


def choice() -> dict[str, Any]:
    """Return what a form's schema says of a place: one of those that are described, or none.

    In an Airflow of several teams it may be any, for these have names of their own.
    """
    names = sorted({*described(), USUAL})
    return {"examples": names} if _has_teams() else {"enum": [None, *names]}


def team_of(context: Context) -> str | None:
    """Return the team that a task belongs to; None where Airflow has none."""
    return getattr(context.get("dag_run"), "team_name", None)


def with_orphans(team: str | None = None, conn_id: str | None = None) -> list[Place]:
    """Return the places where a lost task may have left something, each cluster's namespace once.

    :param conn_id: the connection through which an operator's own pods were made, where no pod is described; by
        default the usual one.
    """
    from airflow_mlops_provider.places.kubernetes.place import KubernetesPod

    places = [find(name, team) for name in described(team)]
    pods = {(place.conn_id, place.namespace): place for place in places if isinstance(place, KubernetesPod)}
    others = [place for place in places if not isinstance(place, KubernetesPod)]
    leaving = [place for place in others if type(place).remove_orphans is not Place.remove_orphans]
    own = KubernetesPod(image="none-is-run", **({"conn_id": conn_id} if conn_id else {}))
    return [*(pods.values() or [own]), *leaving]


def described(team: str | None = None) -> dict[str, dict[str, Any]]:
    """Return kind and settings of each place that ``[mlops] places`` describes, by name; a team's own come first.

    :raises ConfigurationError: if that is no JSON object of such objects.
    """
    everybodys = _read(option("places"))
    return {**everybodys, **_read(option("places", team))} if team else everybodys


def _has_teams() -> bool:
    return conf.getboolean("core", "multi_team", fallback=False)


def _read(text: str | None) -> dict[str, dict[str, Any]]:
    try:
        places = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigurationError(f"[mlops] places is no valid JSON: {error}") from None
    if not isinstance(places, dict) or not all(isinstance(settings, dict) for settings in places.values()):
        raise ConfigurationError('[mlops] places is a JSON object such as {"gpu": {"kind": "kubernetes_pod", …}}')
    return places


def _kind(name: Any) -> type[Place]:
    if not isinstance(name, str):
        raise ValueError(f"it needs a kind; known: {', '.join(sorted(PLACES.known()))}")  # noqa: TRY004 - a setting's
    kind: type[Place] = PLACES.find(name)
    return kind
