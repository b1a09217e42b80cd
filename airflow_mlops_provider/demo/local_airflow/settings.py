"""The settings of a local Airflow, each chosen for a small machine, written as the ``airflow.cfg`` of its home."""

from __future__ import annotations

import base64
import configparser
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from airflow_mlops_provider.demo.local_airflow.processes import MARK

USER = "admin"
CONFIG = "airflow.cfg"
PASSWORDS = "passwords.json"
CONNECTION = "sql_alchemy_conn"
OURS = "AIRFLOW__MLOPS__"
Sections = dict[str, dict[str, str]]


def database(home: Path, wait: float) -> str:
    """Return the URL of the home's SQLite; ``wait`` is for how many seconds a component waits for another's write."""
    return f"sqlite:///{home}/airflow.db?timeout={wait}"


def sections(home: Path, dags: Path, port: int) -> Sections:
    """Return where things are, who may enter, what stays off, and what lets short tasks follow each other quickly."""
    url = f"http://127.0.0.1:{port}"
    return {
        "core": {
            "dags_folder": str(dags),
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "executor": "LocalExecutor",
            # Two cores: more tasks at once only take turns, and each holds its imports in memory. The pool counts
            # tasks at work; a worker is held about a second longer, so there are twice as many of those.
            "default_pool_task_slot_count": "4",
            "parallelism": "8",
            # The default asks a name server for this machine's full name, which costs seconds where none answers.
            "hostname_callable": "socket.gethostname",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": str(home / PASSWORDS),
            "execution_api_server_url": f"{url}/execution/",
        },
        "api": {"host": "127.0.0.1", "port": str(port), "base_url": url, "workers": "1"},
        "database": {CONNECTION: database(home, 30)},
        "logging": {"base_log_folder": str(home / "logs" / "tasks"), "colored_console_log": "False"},
        "scheduler": {
            "enable_health_check": "False",
            # How long a finished task waits to be noticed; below 0.1 s the loop only burns processor time.
            "scheduler_idle_sleep_time": "0.1",
        },
        "workers": {
            # The first request to a fresh API server takes 8 s on a busy small machine; after the default of 5 s the
            # task would ask again while the first "start me" is still being worked on.
            "execution_api_timeout": "60",
            # A task's supervisor may miss its end and look again only after this many seconds (5 by default).
            "min_heartbeat_interval": "1",
        },
        "dag_processor": {
            # An edited file is seen within this many seconds …
            "refresh_interval": "15",
            # … and an unchanged one, which costs a process and its imports, is not parsed again for ten minutes.
            "min_file_process_interval": "600",
            # Else files that are rarely parsed would be taken for deleted.
            "stale_dag_threshold": "1200",
            "parsing_processes": "2",
            "print_stats_interval": "0",
        },
        "usage_data_collection": {"enabled": "False"},
        # Tasks are forked from the scheduler: what each would load first is loaded there, once.
        "mlops": {"preload": "jobs"},
    }


def write(home: Path, dags: Path, port: int, env: Mapping[str, str]) -> None:
    """Write ``airflow.cfg`` and the password file; keys and password made by an earlier start are kept.

    Airflow's own commands, given this home in ``AIRFLOW_HOME``, thereby talk to this stack.

    :param env: the stack's further environment variables, of which ours are settings too.
    """
    if (home / CONFIG).exists() and not (home / PASSWORDS).exists():
        (home / CONFIG).replace(home / f"{CONFIG}.before")  # somebody else's, or what Airflow's command line wrote
    config = sections(home, dags, port)
    config["mlops"] |= {name.removeprefix(OURS).lower(): value for name, value in env.items() if name.startswith(OURS)}
    for section, options in _keys(home / CONFIG).items():
        config.setdefault(section, {}).update(options)
    parser = configparser.RawConfigParser()
    # Airflow interpolates "%": it is doubled.
    parser.read_dict({name: {k: v.replace("%", "%%") for k, v in part.items()} for name, part in config.items()})
    with _private(home / CONFIG) as stream:
        parser.write(stream)
    if not (home / PASSWORDS).exists():
        with _private(home / PASSWORDS) as stream:
            json.dump({USER: secrets.token_urlsafe(12)}, stream)


def password(home: Path, user: str = USER) -> str:
    """Return a user's password; Airflow makes those of other users than the administrator when it starts."""
    return str(json.loads((home / PASSWORDS).read_text())[user])


def environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the stack's processes: ours, without another Airflow's settings."""
    # Connections and variables (AIRFLOW_CONN_…, AIRFLOW_VAR_…) stay: they are the user's.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW__", "AIRFLOW_CONFIG"))}
    env |= {
        "AIRFLOW_HOME": str(home),
        MARK: str(home),
        # Else a process that changes its title overwrites its environment, and with it the mark.
        "SPT_NOENV": "1",
        "PYTHONUNBUFFERED": "1",
    }
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join([*filter(None, env.get(name, "").split(",")), "127.0.0.1", "localhost"])
    if env.get("PYTHONPATH"):
        # Components run in the home: a relative entry would point elsewhere there.
        entries = (str(Path(entry).absolute()) for entry in env["PYTHONPATH"].split(os.pathsep))
        env["PYTHONPATH"] = os.pathsep.join(entries)
    return env | dict(extra)


def of_component(name: str, home: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of one of the stack's components.

    Only the API server differs. It notes who asked for what by a commit in its event loop, which meanwhile cannot end
    the request that holds SQLite's lock: everything stands still until the wait is over, so there it is a short one.
    The request is answered with an error and rolled back; :class:`.AirflowApi` and Airflow's tasks send it again.
    """
    if name != "api-server":
        return dict(env)
    return {f"AIRFLOW__DATABASE__{CONNECTION.upper()}": database(home, 0.5), **env}


def _keys(config: Path) -> Sections:
    """Return this home's keys: those of an earlier start, so that stored secrets stay readable, or new ones."""
    made = {
        "core": {"fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()},
        "api": {"secret_key": secrets.token_urlsafe(32)},
        "api_auth": {"jwt_secret": secrets.token_urlsafe(48)},
    }
    old = configparser.ConfigParser()
    old.read(config)
    return {
        section: {name: old.get(section, name, fallback="") or value for name, value in options.items()}
        for section, options in made.items()
    }


def _private(path: Path) -> TextIO:
    """Open a file for writing that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
