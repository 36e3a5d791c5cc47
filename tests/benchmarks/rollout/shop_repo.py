"""The app that is deployed: one repository for each tool, and the one-line change."""

from pathlib import Path

from acceptance.steer import Repo

SHOP = Path(__file__).parent / "shop"
LOCK = SHOP / "requirements.txt"
_CODE = (SHOP / "app.py").read_text()


class Shop:
    """A tool's own clone of the app, with what a script needs beside it in `deploy/`."""

    def __init__(self, folder: Path, extra: dict[str, str]) -> None:
        self.repo = Repo(folder, SHOP)
        self.path = folder
        self._number = 0
        if extra:
            self.repo.commit(extra)

    def change(self) -> str:
        """Commit another `REVISION` line; return the revision that hosts must answer with."""
        self._number += 1
        self.repo.commit({"app.py": self._code()})
        return str(self._number)

    def _code(self) -> str:
        return _CODE.replace('REVISION = "0"', f'REVISION = "{self._number}"')

    @property
    def changed_bytes(self) -> int:
        """The size of the one file that a change touches."""
        return len(self._code().encode())
