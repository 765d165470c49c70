"""What a request leaves out that its resume would need: the job is done all the same, and says what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labs.pdf.profile import has_profile
from labs.systems.resumes.codes import PREFIX

#: By the name under which the job's metadata have it.
_WARNINGS = {
    "profileMissing": (
        "nothing is known of you, so the resume will be a draft: "
        f"PUT {PREFIX}/profile, or give a profile in metadata, and ask again"
    ),
    "descriptionMissing": (
        "nothing is known of the job, so the resume will be a general one: "
        "PUT /api/v1/job-applications/{jobApplicationId}, or give a jobDescription, and ask again"
    ),
}


def missing(metadata: dict[str, Any], description: str | None) -> dict[str, bool]:
    """What is missing, for the metadata of the job."""
    found = {"profileMissing": not has_profile(metadata), "descriptionMissing": not description}
    return {name: True for name, is_missing in found.items() if is_missing}


def warnings(metadata: Mapping[str, Any]) -> list[str] | None:
    """What to tell whoever has asked, if something is missing."""
    return [text for name, text in _WARNINGS.items() if metadata.get(name) is True] or None
