"""A model server on a Kubernetes cluster; whoever only looks it up loads no client of the cluster's."""

from __future__ import annotations

from airflow_mlops_provider.backends.model_server.kubernetes.server import KubernetesServer

SERVER = KubernetesServer
