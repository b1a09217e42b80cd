"""The model server as a process of this machine: started, found, asked and ended."""
