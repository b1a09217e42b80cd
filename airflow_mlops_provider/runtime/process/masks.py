"""What a job prints and what its manifest tells of an error stays readable by many: no credential stands in it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO
from urllib.parse import quote

from airflow_mlops_provider.lifecycle.serving.pods import CREDENTIAL

SHORTEST = 6  # what is shorter may be any word
STARS = "***"


class Mask:
    """Replaces the values of an environment's credentials, also where they are escaped, by stars."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        values = {value for name, value in environment.items() if CREDENTIAL.search(name) and len(value) >= SHORTEST}
        forms = {form for value in values for form in (value, json.dumps(value)[1:-1], repr(value)[1:-1], quote(value))}
        self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True)))) if forms else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(STARS, text) if self._pattern else text


class MaskedStream:
    """A text stream that writes stars in place of credentials, and is the stream itself in all else."""

    def __init__(self, stream: TextIO, mask: Mask) -> None:
        self._stream, self.mask = stream, mask

    def write(self, text: str) -> int:
        """Write a text. Returns its length before anything was replaced, which is what the caller counts on."""
        self._stream.write(self.mask(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def mask_output() -> None:
    """From now on, let this process print stars in place of the credentials in its environment."""
    mask = Mask(os.environ)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, MaskedStream):  # forked from a process that masks already: loggers hold this very stream
            stream.mask = mask
        else:
            setattr(sys, name, MaskedStream(stream, mask))


def masked(text: str) -> str:
    """Return a text without the credentials in this process's environment."""
    return Mask(os.environ)(text)
