"""Where the installed RabbitMQ is found, on the layouts that package managers make."""

from __future__ import annotations

from pathlib import Path

import pytest

from labs.broker.package import SCRIPTS, find_package


def install_at(root: Path, *parts: str) -> Path:
    script = root.joinpath(*parts)
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    return script


@pytest.mark.parametrize(
    ("real", "link", "version"),
    [
        ("usr/lib/rabbitmq/lib/rabbitmq_server-4.0.5/sbin/rabbitmq-server", "usr/lib/rabbitmq/bin", "4.0.5"),
        ("opt/homebrew/Cellar/rabbitmq/4.2.1/sbin/rabbitmq-server", "opt/homebrew/opt/rabbitmq/sbin", "4.2.1"),
        ("usr/local/Cellar/rabbitmq/4.1.0_1/sbin/rabbitmq-server", "usr/local/opt/rabbitmq/sbin", "4.1.0"),
        ("opt/rabbitmq/sbin/rabbitmq-server", None, None),
    ],
)
def test_each_layout_is_known_and_tells_its_version(
    tmp_path: Path, real: str, link: str | None, version: str | None
) -> None:
    script = install_at(tmp_path, *real.split("/"))
    if link is not None:
        (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / link).symlink_to(script.parent)
    found = find_package([str(tmp_path) + pattern for pattern in SCRIPTS])
    assert found is not None
    assert (found.script.resolve(), found.version) == (script, version)


def test_of_several_versions_the_newest_is_taken(tmp_path: Path) -> None:
    for version in ("3.9.29", "3.13.7", "3.10.8"):
        install_at(tmp_path, f"rabbitmq_server-{version}", "sbin", "rabbitmq-server")
    found = find_package([f"{tmp_path}/rabbitmq_server-*/sbin/rabbitmq-server"])
    assert found is not None
    assert found.version == "3.13.7"


def test_a_machine_without_rabbitmq_has_none(tmp_path: Path) -> None:
    assert find_package([f"{tmp_path}/bin/rabbitmq-server"]) is None
