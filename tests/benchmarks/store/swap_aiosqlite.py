"""Compare-and-swap writes by aiosqlite, as fast as its documented calls go.

Runs with the rivals' Python: `swap_aiosqlite.py FILE WRITERS SECONDS`. One connection and a lock,
which is faster than a connection for each writer (these wait for each other by sleeping). A write
is five statements and so five trips to aiosqlite's thread; nothing is read twice.
"""

import asyncio
import json
import sys
import time

import aiosqlite
import orjson

PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON")


class Store:
    def __init__(self, db: aiosqlite.Connection) -> None:
        self.db = db
        self.lock = asyncio.Lock()

    async def put(self, name: str, number: int, expected: int) -> int:
        """Set an object's number if its version is as expected; return its new version."""
        async with self.lock:
            await self.db.execute("BEGIN IMMEDIATE")
            rows = await self.db.execute_fetchall(
                "SELECT o.revision, v.body FROM objects AS o JOIN versions AS v USING (revision)"
                " WHERE o.kind = 'Host' AND o.name = ?",
                (name,),
            )
            [(found, text)] = rows
            if found != expected:
                await self.db.execute("ROLLBACK")
                raise SystemExit(f"{name} is at {found}, not at {expected}")
            [(revision,)] = await self.db.execute_fetchall(
                "UPDATE counters SET value = value + 1 WHERE name = 'resource_version'"
                " RETURNING value"
            )
            body = orjson.loads(text)
            body["spec"]["port"] = number
            body["metadata"]["generation"] += 1
            body["metadata"]["resourceVersion"] = revision
            await self.db.execute(
                "INSERT INTO versions (revision, kind, name, type, before, at, body, managed)"
                " VALUES (?, 'Host', ?, 'MODIFIED', ?, ?, ?, '[]')",
                (revision, name, found, int(time.time()), orjson.dumps(body).decode()),
            )
            await self.db.execute(
                "UPDATE objects SET revision = ? WHERE kind = 'Host' AND name = ?", (revision, name)
            )
            await self.db.execute("COMMIT")
            return revision


async def main(path: str, writers: int, seconds: float) -> None:
    async with aiosqlite.connect(path, isolation_level=None) as db:
        for pragma in PRAGMAS:
            await db.execute(f"PRAGMA {pragma}")
        store = Store(db)
        rows = await db.execute_fetchall("SELECT name, revision FROM objects ORDER BY name")
        until = time.perf_counter() + seconds

        async def write(name: str, version: int) -> int:
            number = 0
            while time.perf_counter() < until:
                number += 1
                version = await store.put(name, number, version)
            return number

        began = time.perf_counter()
        done = await asyncio.gather(*(write(*row) for row in list(rows)[:writers]))
        print(json.dumps({"writes": sum(done), "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
