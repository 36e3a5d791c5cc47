"""The environment of each kind of child, built from an allow-list and never from a deny-list."""

import re
from collections.abc import Mapping

_COMMON = (
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
)
_GIT = ("SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "USER", "LOGNAME")
# Where packages come from and how to reach it: nothing that publishes, nothing that picks a Python.
_INDEX = re.compile(
    r"PIP_(INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|CERT|CLIENT_CERT|TRUSTED_HOST|PROXY"
    r"|CONFIG_FILE|CONSTRAINT|DEFAULT_TIMEOUT|TIMEOUT|RETRIES|CACHE_DIR|NO_CACHE_DIR"
    r"|KEYRING_PROVIDER)"
    r"|UV_(INDEX|DEFAULT_INDEX|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|INDEX_STRATEGY"
    r"|KEYRING_PROVIDER|NATIVE_TLS|SYSTEM_CERTS|CACHE_DIR|CONFIG_FILE|INSECURE_HOST|HTTP_TIMEOUT|HTTP_RETRIES"
    r"|EXCLUDE_NEWER|INDEX_\w+_(USERNAME|PASSWORD))"
)
_NPM = re.compile(r"(?i)npm_config_(registry|cafile|proxy|https_proxy|noproxy)")


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what git and its ssh may see: keys and proxies, no configuration, no prompts."""
    return _pick(environ, (*_COMMON, *_GIT)) | {
        "LC_ALL": "C.UTF-8",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }


def index_environment(environ: Mapping[str, str], index: str | None = None) -> dict[str, str]:
    """Return what pip and uv may see: this machine's index settings, or `index` instead."""
    found = _pick(environ, _COMMON) | _match(environ, _INDEX)
    if index is not None:
        found = {name: value for name, value in found.items() if not _is_origin(name)}
        found |= {"PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": "", "UV_DEFAULT_INDEX": index}
    return found | {
        "LC_ALL": "C.UTF-8",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        # Wheels built twice from one source then have one digest; 1980 is a zip's first year.
        "SOURCE_DATE_EPOCH": "315532800",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }


def is_index_setting(name: str) -> bool:
    """Whether a variable says where packages come from, or how to reach that."""
    return _INDEX.fullmatch(name) is not None


def step_environment(
    environ: Mapping[str, str], index: str | None, home: str, tmp: str, path: list[str]
) -> dict[str, str]:
    """Return what a build step sees: a home of its own, and `path` before the usual programs."""
    rest = {"PATH": ":".join([*path, environ.get("PATH", "/usr/bin:/bin")])}
    found = index_environment(environ, index) | _match(environ, _NPM) | rest
    kept = {name: value for name, value in found.items() if not name.startswith("XDG_")}
    return kept | {"HOME": home, "TMPDIR": tmp, "LANG": "C.UTF-8", "CI": "1"}


def _pick(environ: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: environ[name] for name in names if name in environ}


def _match(environ: Mapping[str, str], pattern: re.Pattern[str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if pattern.fullmatch(name)}


def _is_origin(name: str) -> bool:
    return name.startswith(("PIP_", "UV_")) and ("INDEX" in name or "FIND_LINKS" in name)
