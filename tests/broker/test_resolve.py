"""Which broker the lab takes, and what it says when that one is not there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from labs.broker import Broker, check, find, redacted, resolve
from labs.errors import BrokerRefused, BrokerUnavailable
from labs.settings import load_settings

NOBODY = "amqp://careerops:hunter2@127.0.0.1:9/%2F"


def test_a_configured_broker_comes_before_all_others(broker: Broker, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, amqp_url=broker.amqp_url, management_url=broker.management_url)
    found = resolve(settings)
    assert (found.kind, found.amqp_url, found.version) == ("url", broker.amqp_url, broker.version)
    assert find(settings) == found
    assert list(tmp_path.iterdir()) == []  # nothing was started


def test_a_configured_broker_needs_no_management_api(broker: Broker, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, amqp_url=broker.amqp_url, management_url="http://127.0.0.1:9")
    assert resolve(settings).version is None


def test_its_management_api_is_expected_beside_it(broker: Broker, tmp_path: Path) -> None:
    found = resolve(load_settings(home=tmp_path, amqp_url=broker.amqp_url, management_url=None))
    parts = urlsplit(broker.amqp_url)
    assert found.management_url == f"http://{parts.username}:{parts.password}@{parts.hostname}:15672"


def test_a_configured_broker_that_is_silent_is_named_without_its_password(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, amqp_url=NOBODY)
    with pytest.raises(BrokerUnavailable) as caught:
        resolve(settings)
    assert "LAB_AMQP_URL=amqp://careerops:***@127.0.0.1:9/%2F" in str(caught.value)
    assert "unset it" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert find(settings) is None


@pytest.mark.parametrize("url", ["not a url", "http://127.0.0.1:15672", "amqp://host:port/"])
def test_what_is_no_amqp_url_is_one_clear_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match="LAB_AMQP_URL"):
        resolve(load_settings(home=tmp_path, amqp_url=url))


def test_wrong_credentials_and_a_missing_virtual_host_are_refusals(broker: Broker) -> None:
    with pytest.raises(BrokerRefused, match="password"):
        check(broker.amqp_url.replace(f":{urlsplit(broker.amqp_url).password}@", ":wrong@"))
    with pytest.raises(BrokerRefused):
        check(broker.with_virtual_host("nowhere"))


def test_looking_starts_nothing(installed: None, tmp_path: Path) -> None:
    assert find(load_settings(home=tmp_path, amqp_url=None)) is None
    assert not (tmp_path / "broker" / "data").exists()


def test_the_address_of_a_virtual_host_is_escaped() -> None:
    broker = Broker("amqp://careerops:careerops@127.0.0.1:5672/%2F", "http://127.0.0.1:15672", "url", None)
    assert broker.with_virtual_host("a/b ü") == "amqp://careerops:careerops@127.0.0.1:5672/a%2Fb%20%C3%BC"
    assert broker.with_virtual_host("/") == broker.amqp_url


def test_a_url_without_password_is_shown_whole() -> None:
    assert redacted("amqp://127.0.0.1/") == "amqp://127.0.0.1/"
