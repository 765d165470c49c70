"""The routes that workers call back: what became of a job is committed here, behind the job's fence."""

from fastapi import APIRouter, Depends

from labs.errors import JobEnded
from labs.store.jobs import Claim, Job, Jobs, JobStatus
from labs.store.outbox import OUTBOX_HINT
from labs.systems.job_routes import JobId
from labs.systems.job_worker import JOBS_HINT
from labs.systems.problem import documented, refused
from labs.systems.resumes.codes import PREFIX
from labs.systems.resumes.jobs import TABLE, Resumes, completed, failed
from labs.systems.resumes.views import CompleteRequest, FailRequest, JobView, view
from labs.systems.system import ApiParts
from labs.systems.user import user_uuid

_PROBLEMS = documented(401, 403, 404, 409, 413, 415, 422, 503)


def worker_routes(parts: ApiParts) -> APIRouter:
    """The router; a user's token gets 403."""
    router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["resumes: for workers"], dependencies=[Depends(parts.worker)])
    table, resumes = Jobs(parts.database, TABLE), Resumes(parts.database)

    async def ended(job: Job) -> JobView:
        parts.ringer.ring(OUTBOX_HINT)
        parts.ringer.ring(JOBS_HINT, job.job_id)
        return view(await table.find(job.job_id))

    @router.post("/{jobId}/complete", summary="Report a resume", responses=_PROBLEMS)
    async def complete(jobId: JobId, report: CompleteRequest) -> JobView:
        """Refused with 409 if another worker has claimed the job since, or it was cancelled. Harmless to repeat."""
        job, resume_id = await table.find(jobId), str(report.resumeId)
        if not await resumes.holds(resume_id, job_id=jobId):
            raise refused("body", "resumeId", "is not a resume that was made for this job")
        event = completed(job_id=jobId, user_id=user_uuid(job.user_id), resume_id=resume_id)
        claim = Claim(jobId, message_id="", fence=report.fence, attempt=job.attempts)
        await table.complete(claim, result=resume_id, event=event, detail=report.detail, metadata=report.metadata)
        await resumes.discard_drafts(jobId)
        return await ended(job)

    @router.post("/{jobId}/fail", summary="Report that there will be no resume", responses=_PROBLEMS)
    async def fail(jobId: JobId, report: FailRequest) -> JobView:
        """Refused with 409 if the job has ended otherwise, or a worker is at it. Harmless to repeat."""
        job = await table.find(jobId)
        event = failed(job_id=jobId, user_id=user_uuid(job.user_id), code=report.errorCode)
        done = await table.fail(jobId, code=report.errorCode, message=report.errorMessage, event=event)
        if not done and (await table.find(jobId)).status is not JobStatus.FAILED:
            raise JobEnded(f"job {jobId} has ended, or a worker is at it")
        return await ended(job)

    return router
