"""Which commits a commit brings since another one."""

from pathlib import Path

from steersman.builds.gitcli import GitCli, reason
from steersman.builds.signatures import HistoryUnknown
from steersman.builds.text import printable

MOST_NEW = 1000
"""Commits that are looked at one by one: each costs a process or two."""


async def read_new(git: GitCli, folder: Path, source: str, sha: str, base: str) -> list[str]:
    """Return the commits that are in the history of `sha` and not of `base`, without `sha`.

    Raises HistoryUnknown where that cannot be told: a server may leave out what it likes.
    """
    most = f"--max-count={MOST_NEW + 1}"
    done = await git.run(["rev-list", most, "--end-of-options", sha, f"^{base}"], folder)
    if done.code != 0:
        why = f"it does not have commit {base[:12]}, which was applied before"
        raise HistoryUnknown(source, f"{why} ({printable(reason(done))})")
    new = done.stdout.decode().split()
    if len(new) > MOST_NEW:
        raise HistoryUnknown(source, f"there are more than {MOST_NEW} commits since {base[:12]}")
    cut = set(new) & _without_parents(folder)
    if cut:
        raise HistoryUnknown(source, f"the history before {min(cut)[:12]} was not sent")
    return [each for each in new if each != sha]


def _without_parents(folder: Path) -> set[str]:
    """Return the commits whose parents the repository does not have although they have some."""
    for shallow in (folder / "shallow", folder / ".git/shallow"):
        if shallow.is_file():
            return set(shallow.read_text().split())
    return set()
