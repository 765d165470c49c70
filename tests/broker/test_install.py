"""What the installer would type, and when it refuses; nothing is installed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from labs.broker.commands import FakeCommands, Outcome, SystemCommands
from labs.broker.install import install
from labs.errors import BrokerNotFound

ROOT, SOMEBODY = 0, 1000


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy-rc.d"


def test_root_on_debian_refreshes_the_lists_and_installs_without_questions(policy: Path) -> None:
    commands, said = FakeCommands({"apt-get"}), []
    install(said.append, commands=commands, user_id=ROOT, policy=policy)
    typed = [line for line in commands.ran if "apt-get" in line]
    assert typed == [
        "env DEBIAN_FRONTEND=noninteractive apt-get update -q",
        "env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends rabbitmq-server",
    ]
    assert [line for line in said if "apt-get install" in line]  # each step is said before it runs


def test_the_package_may_not_start_a_broker_and_the_rule_for_that_goes_away_again(policy: Path) -> None:
    commands = FakeCommands({"apt-get"})
    install(commands=commands, user_id=ROOT, policy=policy)
    assert str(policy) in commands.ran[0]
    assert "exit 101" in commands.ran[0]
    assert commands.ran[-1].endswith(f"rm -f {policy}")


def test_the_rule_goes_away_even_if_the_installation_fails(policy: Path) -> None:
    failing = "env DEBIAN_FRONTEND=noninteractive apt-get install"
    commands = FakeCommands({"apt-get"}, answers={failing: Outcome(100, "E: Unable to locate package")})
    with pytest.raises(BrokerNotFound, match="Unable to locate package"):
        install(commands=commands, user_id=ROOT, policy=policy)
    assert commands.ran[-1].endswith(f"rm -f {policy}")


def test_the_rule_really_forbids_and_really_goes(policy: Path) -> None:
    class Debian(SystemCommands):
        """Writes and removes files for real, but looks at the rule instead of installing."""

        def has(self, program: str) -> bool:
            return program == "apt-get"

        def run(self, command, **options):  # type: ignore[no-untyped-def]
            if "install" in command:
                seen.append(super().run([str(policy), "rabbitmq-server", "start"], timeout_s=5).status)
            return Outcome(0) if "apt-get" in command else super().run(command, **options)

    seen: list[int] = []
    install(commands=Debian(), user_id=ROOT, policy=policy)
    assert seen == [101]
    assert not policy.exists()


def test_a_rule_of_the_machine_is_left_alone(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 0\n")
    commands = FakeCommands({"apt-get"})
    install(commands=commands, user_id=ROOT, policy=policy)
    assert not [line for line in commands.ran if str(policy) in line]


def test_an_ordinary_user_goes_through_sudo_if_it_asks_nothing(policy: Path) -> None:
    commands = FakeCommands({"dnf", "sudo"})
    install(commands=commands, user_id=SOMEBODY, policy=policy)
    assert commands.ran == ["sudo -n true", "sudo -n dnf install -y --setopt=install_weak_deps=False rabbitmq-server"]


@pytest.mark.parametrize("programs", [{"apt-get"}, {"apt-get", "sudo"}])
def test_an_ordinary_user_without_sudo_is_told_what_to_type(programs: set[str], policy: Path) -> None:
    commands = FakeCommands(programs, answers={"sudo -n true": Outcome(1, "a password is required")})
    with pytest.raises(BrokerNotFound, match="sudo apt-get update -q && sudo apt-get install"):
        install(commands=commands, user_id=SOMEBODY, policy=policy)
    assert not [line for line in commands.ran if "install" in line]


def test_homebrew_never_runs_as_root(policy: Path) -> None:
    commands = FakeCommands({"brew", "sudo"})
    install(commands=commands, user_id=SOMEBODY, policy=policy)
    assert commands.ran == ["brew install rabbitmq"]


def test_an_unknown_machine_is_told_what_else_it_can_do(policy: Path) -> None:
    with pytest.raises(BrokerNotFound, match="LAB_AMQP_URL"):
        install(commands=FakeCommands(), user_id=ROOT, policy=policy)
