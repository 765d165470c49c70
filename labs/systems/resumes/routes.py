"""The HTTP routes of the resume system; a 202 means that the job and its message are committed."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Response

from labs.pdf.profile import Profile
from labs.store.jobs import Jobs, Quota
from labs.store.outbox import OutboxMessage
from labs.systems.job_routes import Asked, requested
from labs.systems.paging import Cursor, Limit, page
from labs.systems.problem import documented
from labs.systems.resumes.codes import PREFIX
from labs.systems.resumes.jobs import TABLE, Resumes, command
from labs.systems.resumes.messages import ResumeWorkerJob
from labs.systems.resumes.sources import Sources
from labs.systems.resumes.views import (
    EXAMPLE_ID,
    Accepted,
    ApplicationRequest,
    BatchAccepted,
    BatchRequest,
    GenerateRequest,
    JobPage,
    JobView,
    summary,
    view,
)
from labs.systems.system import ApiParts
from labs.systems.user import User
from labs.systems.webhooks import Webhooks
from labs.telemetry import new_traceparent

JobId = Annotated[str, Path(max_length=255, pattern="^[!-~]+$", examples=[EXAMPLE_ID])]
_Key = Annotated[str | None, Header(min_length=1, max_length=200, description="Repeat a request safely.")]
_PROBLEMS = documented(401, 413, 415, 422, 429, 503)
_PDF: dict[int | str, dict[str, Any]] = {
    200: {"description": "The PDF", "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
}


def routes(parts: ApiParts) -> list[APIRouter]:
    """What users may ask for."""
    router = APIRouter(prefix=PREFIX, tags=["resumes"])
    jobs = Jobs(parts.database, TABLE)
    _add_requests(router, parts, jobs)
    _add_reading(router, parts, jobs)
    return [router, _sources(parts)]


def _add_requests(router: APIRouter, parts: ApiParts, table: Jobs) -> None:
    requester = Annotated[User, Depends(parts.requester)]
    sources, webhooks = Sources(parts.database), Webhooks(parts.settings)
    quota = Quota(parts.settings.resumes_per_hour, window_s=3600)

    async def accept(user: User, key: str | None, *requests: GenerateRequest) -> list[Accepted]:
        asked = [await _asked(request, user, sources, webhooks) for request in requests]
        jobs = await requested(parts, table, *asked, user=user, idempotency_key=key, quota=quota)
        return [Accepted(jobId=job.job_id, status=job.status) for job in jobs]

    @router.post("/generate", status_code=202, summary="Ask for a resume", responses=_PROBLEMS)
    async def generate(
        request: GenerateRequest, response: Response, user: requester, idempotency_key: _Key = None
    ) -> Accepted:
        """Answers at once: the job is committed, and will be done even if everything restarts now.

        An application that has no description here gets a general resume; its id is kept in the metadata.
        """
        [accepted] = await accept(user, idempotency_key, request)
        response.headers["Location"] = f"{PREFIX}/jobs/{accepted.jobId}/status"
        return accepted

    @router.post("/generate/batch", status_code=202, summary="Ask for several resumes", responses=_PROBLEMS)
    async def generate_batch(batch: BatchRequest, user: requester, idempotency_key: _Key = None) -> BatchAccepted:
        """All are committed together, or none is."""
        return BatchAccepted(jobs=await accept(user, idempotency_key, *batch.requests))


async def _asked(request: GenerateRequest, user: User, sources: Sources, webhooks: Webhooks) -> Asked:
    """What a request means for one job."""
    profile = await sources.profile(user_id=user.id) or ({"email": user.email} if user.email else {})
    metadata: dict[str, Any] = {"profile": profile, **request.metadata, "language": request.language}
    description = request.jobDescription
    if request.jobApplicationId is not None:
        metadata["jobApplicationId"] = str(request.jobApplicationId)
        description = description or await sources.description(metadata["jobApplicationId"], user_id=user.id)
    if request.webhookUrl is not None:
        webhooks.check(request.webhookUrl)
    inputs = {"job_description": description or "", "metadata": metadata, "webhook_url": request.webhookUrl}

    def message(job_id: str) -> OutboxMessage:
        body = ResumeWorkerJob(jobId=job_id, userId=user.uuid, jobDescription=description or "", metadata=metadata)
        return command(body, traceparent=new_traceparent())

    return Asked(inputs, message, request)


def _add_reading(router: APIRouter, parts: ApiParts, table: Jobs) -> None:
    reader = Annotated[User, Depends(parts.reader)]
    resumes = Resumes(parts.database)

    @router.get(
        "/jobs",
        summary="Your jobs, newest first",
        response_model_exclude_none=True,
        responses=documented(401, 422, 503),
    )
    async def jobs(user: reader, limit: Limit = 20, cursor: Cursor = None) -> JobPage:
        found, after = await page(table, user_id=user.id, limit=limit, cursor=cursor)
        return JobPage(jobs=[summary(job) for job in found], nextCursor=after)

    @router.get(
        "/jobs/{jobId}/status",
        summary="A job",
        response_model_exclude_none=True,
        responses=documented(401, 404, 422, 503),
    )
    async def status(jobId: JobId, user: reader) -> JobView:
        return view(await table.get(jobId, user_id=user.id))

    @router.post(
        "/jobs/{jobId}/cancel",
        summary="Cancel a job",
        response_model_exclude_none=True,
        responses=documented(401, 404, 409, 422, 503),
    )
    async def cancel(jobId: JobId, user: reader) -> JobView:
        """A waiting job will not run; what a worker makes of a running one is thrown away. Harmless to repeat."""
        return view(await table.cancel(jobId, user_id=user.id))

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
    async def put_application(jobApplicationId: uuid.UUID, request: ApplicationRequest, user: requester) -> None:
        """Resumes for this application are made for this description; a later one replaces it."""
        await sources.put_description(request.jobDescription, str(jobApplicationId), user_id=user.id)

    return router
