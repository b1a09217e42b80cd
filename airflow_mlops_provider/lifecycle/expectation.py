"""An expectation of a table as plain JSON: what Great Expectations keeps of each in a suite's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import Strict, plain

#: Where a vendor's own expectation classes are defined.
VENDOR = "great_expectations."
#: What a suite's file says of an expectation beside what it expects: none of it decides a verdict, or is shown.
_BESIDE = frozenset({"id", "meta", "notes", "rendered_content", "success_on_last_run", "expectation_context"})


class Expectation(Strict):
    """What is expected of a table or a column.

    :param type: such as ``expect_column_values_to_not_be_null``.
    :param kwargs: its arguments; one that is ``{"$PARAMETER": "name"}`` takes its value from the run's parameters.
    :param severity: whether the task fails if it is broken (``critical``), or says so and goes on.
    :param description: what a reader is shown in place of the vendor's own sentence.
    """

    type: str = Field(min_length=1)
    kwargs: Annotated[dict[str, Any], BeforeValidator(lambda value: plain(value, "kwargs"))] = {}
    severity: Literal["critical", "warning", "info"] = "critical"
    description: str | None = None

    @classmethod
    def of(cls, given: Any) -> Self:
        """Return what Great Expectations' object, or its JSON configuration, expects.

        :raises ConfigurationError: for what is neither, and for an object of a class that no other process knows.
        """
        if not isinstance(given, Mapping):
            given = _configuration(given)
        try:
            return cls.model_validate({name: value for name, value in given.items() if name not in _BESIDE})
        except ValidationError as error:
            lines = "; ".join(f"{'.'.join(map(str, line['loc']))} {line['msg']}".strip() for line in error.errors())
            raise ConfigurationError(f"{given!r:.200} is no expectation: {lines}") from None

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as Great Expectations reads it."""
        return self.model_dump(mode="json", exclude_none=True)


def _configuration(given: Any) -> Mapping[str, Any]:
    configuration = getattr(given, "configuration", None)
    if configuration is None:
        raise ConfigurationError(
            f"{given!r:.200} is no expectation; give Great Expectations' objects, or their JSON configurations: "
            '{"type": "expect_…", "kwargs": {…}}'
        )
    kind = type(given)
    if not kind.__module__.startswith(VENDOR):
        raise ConfigurationError(
            f"{kind.__name__} is an expectation of your own, which the job does not know by its name; "
            "give a function that returns it: expectations='package.module:function'"
        )
    described: Mapping[str, Any] = configuration.to_json_dict()
    return described
