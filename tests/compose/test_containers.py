"""The stack as `docker compose up` starts it: healthy, closed to the outside, and no job lost with a container."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
import pytest

from labs.processes import wait_until
from labs.systems.cover_letters.topology import EVENT_QUEUES, GENERATE_QUEUE
from tests.compose.project import Project, docker, inspect

PEERS = ("peers-user", "peers-matching", "peers-collaboration")
SERVICES = ("api", "postgres", "rabbitmq", "relay", "stub", "worker", *PEERS)
#: What this machine may reach; the rest is for the containers among themselves.
PUBLISHED = {"api": {"8000/tcp"}, "rabbitmq": {"5672/tcp", "15672/tcp"}}

#: All chapters, two at a time, on a busy machine.
NOTEBOOKS_TIMEOUT_S = 1200.0

#: Few enough for one user's rate limit.
JOBS = 90
LETTER = {"jobDescription": "Backend Engineer with RabbitMQ", "cvText": "Ada Lovelace\n5 years of Python"}

#: With milliseconds as its argument.
MODEL_TAKES = """
import sys
from labs.llm.control import StubModel
from labs.llm.dials import Constant
StubModel("http://stub:8089").set_dials(latency=Constant(ms=float(sys.argv[1])))
"""

#: SIGKILL from outside means "stop" to the engine, so a crash has to come from within.
CRASH = """
import psutil
[process.kill() for process in psutil.process_iter(["cmdline"]) if "labs" in process.info["cmdline"]]
"""

#: What a notebook does first; prints which broker it is on, and whose other virtual host it sees there.
OWN_VIRTUAL_HOST = """
from labs.broker import virtual_host
with virtual_host("chapter") as own:
    names = set(own.management.virtual_hosts()) - {"/", own.name}
    print(own.broker.kind, *names)
"""

T = TypeVar("T")


def eventually(look: Callable[[], T], *, until: Callable[[T], bool], timeout_s: float = 60.0) -> T:
    """What `look` sees as soon as it satisfies `until`."""
    seen: list[T] = []

    def satisfied() -> bool:
        seen[:] = [look()]
        return until(seen[0])

    assert wait_until(satisfied, timeout_s=timeout_s, every_s=0.2), f"still {seen[0]!r} after {timeout_s} s"
    return seen[0]


class Stack:
    """The running stack, seen from this machine."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def client(self, token: str) -> httpx.Client:
        host, port = self.project.address("api", 8000)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"http://{host}:{port}", headers=headers, timeout=10, trust_env=False)

    def token(self, *, user: int) -> str:
        return self.run("api", "python", "-m", "labs", "token", "--user", str(user)).strip()

    def run(self, service: str, *command: str) -> str:
        return self.project.compose("exec", "-T", service, *command)

    def management(self, path: str) -> list[dict[str, Any]]:
        host, port = self.project.address("rabbitmq", 15672)
        answer = httpx.get(f"http://{host}:{port}/api/{path}", auth=("careerops", "careerops"), trust_env=False)
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found

    def rows(self, query: str) -> list[list[str]]:
        """What the database answers, column by column as text."""
        url = "postgresql://careerops:careerops@127.0.0.1/careerops"
        answer = self.run("postgres", "psql", "--no-align", "--tuples-only", "--command", query, url)
        return [line.split("|") for line in answer.splitlines()]

    def number(self, query: str) -> int:
        return int(self.rows(query)[0][0])


@pytest.fixture(scope="module")
def stack(project: Project) -> Stack:
    project.up()
    return Stack(project)


@pytest.fixture
def three_workers(stack: Stack) -> Iterator[list[str]]:
    stack.project.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "worker=3", "worker")
    yield stack.project.containers("worker")
    stack.project.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "worker=1", "worker")


def test_every_service_is_healthy_and_published_on_loopback_alone(stack: Stack) -> None:
    for service in SERVICES:
        (container,) = stack.project.containers(service)
        facts = inspect(container)
        assert facts["State"]["Health"]["Status"] == "healthy", service
        published = {port: hosts for port, hosts in facts["NetworkSettings"]["Ports"].items() if hosts}
        assert set(published) == PUBLISHED.get(service, set())
        assert {host["HostIp"] for hosts in published.values() for host in hosts} <= {"127.0.0.1"}


@pytest.mark.parametrize("service", ["api", "relay", "stub", "worker", *PEERS])
def test_a_service_runs_as_an_ordinary_user_without_privileges(stack: Stack, service: str) -> None:
    (container,) = stack.project.containers(service)
    facts = inspect(container)
    assert stack.run(service, "id", "-un").strip() == "lab"
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in facts["HostConfig"]["SecurityOpt"]


def test_each_service_talks_to_the_broker_under_its_own_name(stack: Stack) -> None:
    def users() -> dict[str, set[str]]:
        found = [(c["client_properties"]["connection_name"].partition("@")[0], c["user"]) for c in connections()]
        return {process: {user for name, user in found if name == process} for process, _ in found}

    def connections() -> list[dict[str, Any]]:
        return [c for c in stack.management("connections") if "connection_name" in c.get("client_properties", {})]

    # The management API learns of a connection a few seconds late.
    eventually(users, until=lambda seen: seen == {name: {name} for name in ("api", "relay", "worker", *PEERS)})


def test_every_job_is_done_once_though_a_worker_is_killed_in_the_middle(stack: Stack, three_workers: list[str]) -> None:
    # Given three workers, a model so slow that a container can be killed meanwhile, and jobs posted over HTTP
    stack.run("api", "python", "-c", MODEL_TAKES, "15000")
    with stack.client(stack.token(user=1)) as client:
        answers = [client.post("/api/cover-letter", json=LETTER) for _ in range(JOBS)]
    assert [answer.status_code for answer in answers] == [202] * JOBS
    # When one is killed with jobs in its hands (a worker is named after its container)
    in_hand = "SELECT worker, count(*) FROM cover_letter_jobs WHERE status = 'processing' GROUP BY worker"
    name, _ = eventually(lambda: stack.rows(in_hand), until=lambda seen: len(seen) == 3)[0]
    (victim,) = [container for container in three_workers if f"worker@{container[:12]}:" in name]
    docker("kill", victim)
    stack.run("api", "python", "-c", MODEL_TAKES, "1000")
    # Then all are completed
    completed = "SELECT count(*) FROM cover_letter_jobs WHERE status = 'completed'"
    eventually(lambda: stack.number(completed), until=lambda seen: seen == JOBS, timeout_s=180)
    # And some had indeed been in the hands of the dead one, but none was completed by two
    assert stack.number("SELECT count(*) FROM cover_letter_jobs WHERE attempts > 1") > 0
    assert stack.number("SELECT count(*) FROM job_history WHERE step = 'completed'") == JOBS
    # And each had its effects once, and nothing is left anywhere
    effects = "SELECT consumer, count(*) FROM inbox WHERE outcome = 'done' GROUP BY consumer"
    everyone = {queue: str(JOBS) for queue in (GENERATE_QUEUE, *EVENT_QUEUES)}
    eventually(lambda: dict(stack.rows(effects)), until=everyone.__eq__)
    assert stack.number("SELECT sum(completed) FROM analytics_daily") == JOBS
    assert stack.number("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0
    eventually(
        lambda: {queue["name"]: queue.get("messages") for queue in stack.management("queues")},
        until=lambda depths: set(depths.values()) == {0},
    )


def test_peers_meet_and_work_together_over_the_broker_alone(stack: Stack) -> None:
    # Given two users who share a topic, created by one service and known to another
    with stack.client(stack.token(user=11)) as ada, stack.client(stack.token(user=12)) as bob:
        for client, name in ((ada, "ada"), (bob, "bob")):
            user = {"username": name, "email": f"{name}@example.org", "profile_data": {"topics": ["graphs"]}}
            assert client.post("/v1/peers/users", json=user).status_code == 201
        eventually(lambda: ada.post("/v1/peers/matches", json={}).status_code, until=(200).__eq__)
        session = eventually(lambda: bob.post("/v1/peers/matches", json={}).json(), until=lambda m: "session_id" in m)
        assert session["peer"]["username"] == "ada"
        # When one of them changes the code, then the other one sees it
        path = f"/v1/peers/sessions/{session['session_id']}"
        with bob.stream("GET", f"{path}/events") as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("event:")) == "event: joined"
            assert ada.post(f"{path}/updates", json={"sequence": 1, "code_delta": "+x"}).status_code == 200
            assert next(line for line in lines if line.startswith("event:")) == "event: code_updated"


def test_a_worker_that_crashes_is_started_again(stack: Stack) -> None:
    (container,) = stack.project.containers("worker")
    stack.project.compose("exec", "-T", "-d", "worker", "python", "-c", CRASH)
    eventually(lambda: inspect(container)["RestartCount"], until=lambda seen: seen > 0)
    eventually(lambda: inspect(container)["State"]["Health"]["Status"], until=lambda seen: seen == "healthy")


def test_jobs_tokens_and_broker_survive_new_containers(stack: Stack) -> None:
    # Given a job that is done
    token = stack.token(user=2)
    with stack.client(token) as client:
        job = client.post("/api/cover-letter", json=LETTER).json()["jobId"]
        eventually(lambda: client.get(f"/api/cover-letter/status/{job}").json()["status"], until="completed".__eq__)
    stack.run("rabbitmq", "rabbitmqctl", "--quiet", "add_vhost", "kept")
    # When all containers are thrown away and made anew
    stack.project.compose("down", "--timeout", "30")
    stack.project.up()
    # Then the volumes have kept all of it
    with stack.client(token) as client:
        assert client.get(f"/api/cover-letter/status/{job}").json()["coverLetter"]
    assert {vhost["name"] for vhost in stack.management("vhosts")} == {"/", "kept"}


def test_the_command_line_sees_it_all(stack: Stack) -> None:
    listed = stack.project.compose("--profile", "cli", "run", "--rm", "-T", "cli", "dlq", "list")
    assert "no dead letters" in listed


def test_the_broker_logs_where_compose_shows_it(stack: Stack) -> None:
    assert re.search("user 'worker' authenticated", stack.project.compose("logs", "rabbitmq"))


def test_jupyterlab_is_on_the_same_broker_and_asks_for_its_token(stack: Stack) -> None:
    stack.project.up("jupyterlab", profile="lab")
    host, port = stack.project.address("jupyterlab", 8888)
    contents = f"http://{host}:{port}/api/contents"
    assert host == "127.0.0.1"
    assert httpx.get(contents).status_code == 403
    # A page of another site that has its name resolve to 127.0.0.1 gets nothing, token or not.
    assert httpx.get(contents, params={"token": "lab"}, headers={"Host": "rebound.example"}).status_code == 403
    assert httpx.get(contents, params={"token": "lab"}).status_code == 200
    # And a notebook gets a virtual host of its own on the stack's broker.
    assert stack.run("jupyterlab", "python", "-c", OWN_VIRTUAL_HOST).split() == ["url", "kept"]


def test_every_notebook_passes_in_it(stack: Stack) -> None:
    # On the stack's broker, and with servers of its own generation where a chapter kills some: none is outside.
    stack.project.up("jupyterlab", profile="lab")
    options = "-q -n 2 --dist loadscope -p no:locust -p no:cacheprovider --nbval-lax --nbval-current-env"
    command = ("python", "-m", "pytest", *options.split(), "--nbval-cell-timeout=120", "notebooks")
    # The checkout's own folder may be anybody's, and a learner's solutions are not run.
    ours = ("--env", "LAB_EXERCISES=/tmp/exercises")
    told = stack.project.compose("exec", "-T", *ours, "jupyterlab", *command, timeout_s=NOTEBOOKS_TIMEOUT_S)
    assert re.search(r"\d+ passed", told), told
    assert "skipped" not in told
    # And nothing of them is left on the stack's broker.
    assert {vhost["name"] for vhost in stack.management("vhosts")} <= {"/", "kept"}
