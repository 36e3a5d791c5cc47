"""Where an app's code comes from: git, a local folder or a package."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from steersman.api.model import Model
from steersman.api.refusal import Refused, quoted
from steersman.api.text import InnerPath, LocalPath, has_control

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.+)")
_SCP = re.compile(
    r"(?:[A-Za-z0-9._][A-Za-z0-9._-]*@)?"
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?P<path>[^:].*)"
)
_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")
_REMOTE = frozenset({"https", "ssh"})
_URLS = "an https://, ssh:// or file:// URL, user@host:path, or an absolute path"

_REF_CHARS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]")
_PACKAGE = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._, -]+\])?"
    r"==[0-9A-Za-z][0-9A-Za-z.!+_-]*"
)


def check_git_url(url: str) -> str:
    """Return `url` when git fetches it without running a command of its author's."""
    if _HELPER.match(url):
        raise Refused(f"the git transport {quoted(url)}", f"{_URLS}; others can run commands")
    if has_control(url) or " " in url or url.startswith("-") or len(url) > 2048:
        raise Refused(quoted(url), _URLS)
    if url.startswith("/"):
        return url
    if match := _URL.fullmatch(url):
        return _check_url(url, match["scheme"], match["rest"])
    match = _SCP.fullmatch(url)
    if match is None or match["host"].startswith("-") or match["path"].startswith("-"):
        raise Refused(quoted(url), _URLS)
    return url


def _check_url(url: str, scheme: str, rest: str) -> str:
    if scheme == "file" and rest.startswith("/"):
        return url
    if scheme not in _REMOTE:
        raise Refused(quoted(url), _URLS)
    try:
        parts = urlsplit(url)
        host, user, _ = parts.hostname, parts.username, parts.port
    except ValueError as error:
        raise Refused(f"{quoted(url)} ({error})", _URLS) from error
    if not host or host.startswith("-") or (user or "").startswith("-"):
        raise Refused(quoted(url), f"{_URLS}, with a host that is no option")
    if parts.path.lstrip("/").startswith("-"):
        raise Refused(quoted(url), f"{_URLS}, with a path that is no option")
    return url


def check_ref(ref: str) -> str:
    """Return `ref` when git takes it as a branch, tag or commit (git-check-ref-format(1))."""
    parts = ref.split("/")
    broken = (
        not ref
        or ref == "@"
        or len(ref.encode()) > 200
        or ref.startswith("-")
        or ref.endswith(".")
        or ".." in ref
        or "@{" in ref
        or _REF_CHARS.search(ref) is not None
        or has_control(ref)
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    )
    if broken:
        raise Refused(
            quoted(ref),
            "a branch, tag or commit of at most 200 bytes, without spaces, .., @{ or a leading -",
        )
    return ref


def check_package(package: str) -> str:
    """Return `package` when it pins one version: `name==version`."""
    if not _PACKAGE.fullmatch(package):
        raise Refused(quoted(package), "name==version, such as shop==1.2")
    return package


GitRef = Annotated[str, AfterValidator(check_ref)]


class GitSource(Model):
    """A repository and what to take from it; `path` is a folder in it."""

    url: Annotated[str, AfterValidator(check_git_url)]
    ref: GitRef = "main"
    path: InnerPath | None = None


class Source(Model):
    """Exactly one of git, path and package. A relative path counts from the manifest's folder."""

    git: GitSource | None = None
    path: LocalPath | None = None
    package: Annotated[str, AfterValidator(check_package), Field(examples=["shop==1.2"])] | None = (
        None
    )

    @model_validator(mode="after")
    def _has_one(self) -> "Source":
        given = [name for name in ("git", "path", "package") if getattr(self, name) is not None]
        if len(given) != 1:
            raise Refused(" and ".join(given) or "none of them", "one of git, path and package")
        return self
