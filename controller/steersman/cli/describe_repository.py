"""A repository in full: what is followed, which commit is applied, and what that says."""

from datetime import datetime

from steersman.api.quantities import format_duration
from steersman.api.repository import Repository
from steersman.cli.context import Work
from steersman.cli.sections import conditions_section, field, metadata_fields
from steersman.store.errors import NotStored


async def describe_repository(work: Work, name: str, now: datetime) -> str:
    """Return the description of a repository."""
    stored = await work.store.get("Repository", name)
    if stored is None:
        raise NotStored("Repository", name)
    repository = Repository.model_validate(stored.object)
    spec, status = repository.spec, repository.status
    text = metadata_fields(repository.metadata, now)
    text += field("URL", spec.url) + field("Ref", spec.ref) + field("Path", spec.path or "<all>")
    text += field("Interval", format_duration(spec.interval))
    text += field("Prune", "yes" if spec.prune else "no")
    text += field("Suspended", "yes" if repository.is_suspended else "no")
    text += field("Signers", _signers(repository))
    text += field("Credentials", spec.credentials or "<none>")
    text += field("Applied", _commit(status.applied_commit, status.applied_subject))
    if status.seen_commit != status.applied_commit:
        text += field("Newest", _commit(status.seen_commit, None))
    text += field("Objects", ", ".join(status.inventory) or "<none>")
    return text + conditions_section(status.conditions, now)


def _signers(repository: Repository) -> str:
    verify = repository.spec.verify
    if verify is None:
        return "<anybody>"
    return f"{len(verify.ssh)} by SSH, {len(verify.gpg)} by OpenPGP"


def _commit(sha: str | None, subject: str | None) -> str:
    return f"{sha} {subject or ''}".strip() if sha is not None else "<none>"
