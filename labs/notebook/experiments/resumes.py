"""Chapter 14: a user of the resume routes, the pages that come out, and what a job has left behind."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pypdfium2
from IPython.display import Image

from labs.display import Picture, Snapshot, draw, snapshot
from labs.llm.ledger import Call
from labs.notebook.letters import until
from labs.notebook.session import Notebook
from labs.settings import load_settings
from labs.stack.demo import sample_application
from labs.store.jobs import JobStatus
from labs.systems.callback import worker_token
from labs.systems.resumes.codes import PREFIX
from labs.systems.resumes.topology import EXCHANGE

PROFILE = {
    "name": "Ada Lovelace",
    "headline": "Backend Engineer",
    "email": "ada@example.org",
    "summary": "Nine years of services that keep their word.",
    "skills": ["Python", "RabbitMQ", "PostgreSQL"],
    "experience": [
        {
            "title": "Backend Engineer",
            "company": "Analytical Engines",
            "period": "2019 to today",
            "highlights": ["Cut latency of an order pipeline by 40 % with RabbitMQ"],
        }
    ],
}
#: Pixels of a page's picture for each point of the page.
_SCALE = 0.8
_QUEUES = "resumes."


class Resumes:
    """A user who has said who he is, and asks for resumes."""

    def __init__(self, lab: Notebook) -> None:
        self._lab = lab
        self._http = httpx.Client(
            base_url=lab.stack.api_url,
            headers={"Authorization": f"Bearer {lab.stack.token()}"},
            timeout=30.0,
            trust_env=False,
        )
        self._http.put(f"{PREFIX}/profile", json=PROFILE).raise_for_status()

    def ask(self, words: str = "", **more: Any) -> dict[str, Any]:
        """Ask for a resume for the sample job; a few words make it another one. Returns status and answer."""
        description = f"{words}\n{sample_application().job_description}".strip()
        response = self._http.post(f"{PREFIX}/generate", json={"jobDescription": description, **more})
        return {"http": response.status_code, **response.json()}

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as its owner sees it."""
        found: dict[str, Any] = self._http.get(f"{PREFIX}/jobs/{job_id}/status").raise_for_status().json()
        return found

    async def ended(self, job_id: str) -> dict[str, Any]:
        """The job, once it has ended.

        Raises:
            NoAnswer: it has not, in time.
        """

        async def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if JobStatus(job["status"]).terminal else None

        return await until(look, what=f"the end of job {job_id}")

    def cancel(self, job_id: str) -> str:
        """Cancel a job; returns its status, or why it can't be."""
        response = self._http.post(f"{PREFIX}/jobs/{job_id}/cancel").json()
        return str(response.get("detail", response["status"]))

    def page(self, job: dict[str, Any]) -> Image:
        """The first page of a completed job's resume, as a picture."""
        picture = io.BytesIO()
        self._opened(job)[0].render(scale=_SCALE).to_pil().save(picture, "PNG", optimize=True)
        return Image(picture.getvalue(), format="png")  # type: ignore[no-untyped-call]

    def words(self, job: dict[str, Any]) -> str:
        """What a completed job's resume says."""
        return "\n".join(page.get_textpage().get_text_range() for page in self._opened(job))

    def _opened(self, job: dict[str, Any]) -> Any:
        return pypdfium2.PdfDocument(self._http.get(f"{PREFIX}/{job['resumeId']}/pdf").raise_for_status().content)

    def report(self, job: dict[str, Any], *, secret: str | None = None, fence: int = 1) -> tuple[int, str]:
        """Report a job's resume as a worker would: with a token signed with this secret, else with the user's own.

        Returns:
            The status of the answer, and what it says.
        """
        headers = {"Authorization": f"Bearer {worker_token(load_settings(worker_secret=secret))}"} if secret else {}
        body = {"resumeId": job["resumeId"], "fence": fence}
        response = self._http.post(f"{PREFIX}/jobs/{job['id']}/complete", json=body, headers=headers)
        answer = response.json()
        return response.status_code, str(answer.get("detail", answer["status"]))

    def model_calls(self, job_id: str) -> list[Call]:
        """What the model was asked for a job."""
        with self._lab.model as model:
            return list(model.ledger(request_id=job_id).calls)


def real_secret() -> str:
    """The secret that workers and API share here."""
    return load_settings().worker_signing_secret()


def map_of(lab: Notebook, *, title: str) -> Picture:
    """The resumes' part of what the broker holds now."""
    found = snapshot(lab.vhost)
    return draw(
        Snapshot(
            tuple(exchange for exchange in found.exchanges if exchange.name == EXCHANGE),
            tuple(queue for queue in found.queues if queue.name.startswith(_QUEUES)),
            tuple(binding for binding in found.bindings if binding.source == EXCHANGE),
        ),
        title=title,
    )


async def pages_kept(lab: Notebook, job_id: str) -> int:
    """How many PDFs of a job the database holds: its result, and drafts."""
    query = "SELECT count(*) AS n FROM resumes WHERE job_id = %s"
    async with lab.database as database, database.connection() as db:
        row = await (await db.execute(query, [job_id])).fetchone()
    return int(row["n"]) if row else 0


async def thrown_away(lab: Notebook, job_id: str) -> bool:
    """Wait until a worker says that it has thrown a job's result away."""

    async def look() -> bool:
        logs = (child.log.read_text() for child in lab.stack.children if child.name.startswith("worker"))
        return any("result discarded" in line and job_id in line for log in logs for line in log.splitlines())

    return await until(look, what="a worker that throws a result away")
