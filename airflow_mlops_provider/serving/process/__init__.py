"""The model server as a process of this machine: how it is started, found, queried and ended."""
