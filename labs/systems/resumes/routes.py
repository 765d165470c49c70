"""The HTTP routes of the resume system; a 202 means that the job and its message are committed."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Response

from labs.pdf.profile import Profile
from labs.store.jobs import Jobs, Quota
from labs.store.outbox import OutboxMessage
from labs.systems.fields import IdempotencyKey
from labs.systems.job_routes import ACCEPTED, Asked, JobId, Shown, add_reading, requested
from labs.systems.problem import documented
from labs.systems.resumes import views
from labs.systems.resumes.codes import PREFIX
from labs.systems.resumes.jobs import TABLE, Resumes, command
from labs.systems.resumes.messages import ResumeWorkerJob
from labs.systems.resumes.missing import missing
from labs.systems.resumes.sources import Sources
from labs.systems.resumes.worker_routes import worker_routes
from labs.systems.system import ApiParts
from labs.systems.user import User
from labs.systems.webhooks import Webhooks
from labs.telemetry import new_traceparent

_PROBLEMS = documented(401, 413, 415, 422, 429, 503)
_PDF: dict[int | str, dict[str, Any]] = {
    200: {"description": "The PDF", "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
}


def routes(parts: ApiParts) -> list[APIRouter]:
    """What users may ask for, and what workers report."""
    router = APIRouter(prefix=PREFIX, tags=["resumes"])
    jobs = Jobs(parts.database, TABLE)
    _add_requests(router, parts, jobs)
    _add_reading(router, parts, jobs)
    return [router, _sources(parts), worker_routes(parts)]


def _add_requests(router: APIRouter, parts: ApiParts, table: Jobs) -> None:
    requester = Annotated[User, Depends(parts.requester)]
    sources, webhooks = Sources(parts.database), Webhooks(parts.settings)
    quota = Quota(parts.settings.resumes_per_hour, window_s=3600)

    async def accept(user: User, key: str | None, *requests: views.GenerateRequest) -> list[views.Accepted]:
        asked = [await _asked(request, user, sources, webhooks) for request in requests]
        jobs = await requested(parts, table, *asked, user=user, idempotency_key=key, quota=quota)
        return [views.accepted(job) for job in jobs]

    @router.post(
        "/generate",
        status_code=202,
        summary="Ask for a resume",
        response_model_exclude_none=True,
        responses=ACCEPTED | _PROBLEMS,
    )
    async def generate(
        request: views.GenerateRequest, response: Response, user: requester, idempotency_key: IdempotencyKey = None
    ) -> views.Accepted:
        """Answers at once: the job is committed, and will be done even if everything restarts now.

        An application that has no description here gets a general resume; its id is kept in the metadata. Who has
        stored no profile gets a draft. `warnings` say what is missing and how to give it, and the job's metadata have
        `profileMissing` or `descriptionMissing`.
        """
        [answer] = await accept(user, idempotency_key, request)
        response.headers["Location"] = f"{PREFIX}/jobs/{answer.jobId}/status"
        return answer

    @router.post(
        "/generate/batch",
        status_code=202,
        summary="Ask for several resumes",
        response_model_exclude_none=True,
        responses=_PROBLEMS,
    )
    async def generate_batch(
        batch: views.BatchRequest, user: requester, idempotency_key: IdempotencyKey = None
    ) -> views.BatchAccepted:
        """All are committed together, or none is."""
        return views.BatchAccepted(jobs=await accept(user, idempotency_key, *batch.requests))


async def _asked(request: views.GenerateRequest, user: User, sources: Sources, webhooks: Webhooks) -> Asked:
    """What a request means for one job."""
    profile = await sources.profile(user_id=user.id) or ({"email": user.email} if user.email else {})
    metadata: dict[str, Any] = {"profile": profile, **request.metadata, "language": request.language}
    description = request.jobDescription
    if request.jobApplicationId is not None:
        metadata["jobApplicationId"] = str(request.jobApplicationId)
        description = description or await sources.description(metadata["jobApplicationId"], user_id=user.id)
    if request.webhookUrl is not None:
        webhooks.check(request.webhookUrl)
    metadata |= missing(metadata, description)
    inputs = {"job_description": description or "", "metadata": metadata, "webhook_url": request.webhookUrl}

    def message(job_id: str) -> OutboxMessage:
        body = ResumeWorkerJob(jobId=job_id, userId=user.uuid, jobDescription=description or "", metadata=metadata)
        return command(body, traceparent=new_traceparent())

    return Asked(inputs, message, request)


def _add_reading(router: APIRouter, parts: ApiParts, table: Jobs) -> None:
    reader = Annotated[User, Depends(parts.reader)]
    resumes = Resumes(parts.database)

    add_reading(router, parts, table, Shown(views.view, views.summary, views.JobPage), status="/jobs/{jobId}/status")

    @router.post(
        "/jobs/{jobId}/cancel",
        summary="Cancel a job",
        response_model_exclude_none=True,
        responses=documented(401, 404, 409, 422, 503),
    )
    async def cancel(jobId: JobId, user: reader) -> views.JobView:
        """A waiting job will not run; what a worker makes of a running one is thrown away. Harmless to repeat."""
        return views.view(await table.cancel(jobId, user_id=user.id))

    @router.get(
        "/{resumeId}/pdf",
        summary="The resume itself",
        response_class=Response,
        responses=_PDF | documented(401, 404, 422, 503),
    )
    async def pdf(resumeId: uuid.UUID, user: reader) -> Response:
        found = await resumes.pdf(str(resumeId), user_id=user.id)
        if found is None:
            raise HTTPException(404, f"there is no resume {resumeId}")
        return Response(
            found, media_type="application/pdf", headers={"Content-Disposition": "inline; filename=resume.pdf"}
        )


def _sources(parts: ApiParts) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["resumes"])
    requester = Annotated[User, Depends(parts.requester)]
    sources = Sources(parts.database)

    @router.put("/resumes/profile", status_code=204, summary="Keep who you are", responses=_PROBLEMS)
    async def put_profile(profile: Profile, user: requester) -> None:
        """Every resume whose request has no `profile` in its metadata is made with this one."""
        await sources.put_profile(profile.model_dump(exclude_defaults=True), user_id=user.id)

    @router.put(
        "/job-applications/{jobApplicationId}",
        status_code=204,
        summary="Keep the description of a job",
        responses=_PROBLEMS,
    )
    async def put_application(jobApplicationId: uuid.UUID, request: views.ApplicationRequest, user: requester) -> None:
        """Resumes for this application are made for this description; a later one replaces it."""
        await sources.put_description(request.jobDescription, str(jobApplicationId), user_id=user.id)

    return router
