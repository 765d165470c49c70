"""Rows as HTTP routes show them, so that a column is named once."""

from __future__ import annotations

from pydantic import AliasGenerator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Record(BaseModel):
    """Made from a row; when it is shown its names are JSON's: `created_at` becomes `createdAt`."""

    model_config = ConfigDict(frozen=True, alias_generator=AliasGenerator(serialization_alias=to_camel))
