"""The schema, as the list of steps that lead to it; a step is never edited once released."""

# "STER": tells our file from any other SQLite database.
APPLICATION_ID = 0x53544552

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE objects (
        kind             TEXT    NOT NULL,
        name             TEXT    NOT NULL,
        resource_version INTEGER NOT NULL,
        body             TEXT    NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE events (
        id      INTEGER PRIMARY KEY,
        kind    TEXT    NOT NULL,
        name    TEXT    NOT NULL,
        type    TEXT    NOT NULL,
        reason  TEXT    NOT NULL,
        message TEXT    NOT NULL,
        host    TEXT,
        count   INTEGER NOT NULL,
        first   TEXT    NOT NULL,
        last    TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX events_of_object ON events (kind, name, last);

    CREATE TABLE counters (
        name  TEXT    PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO counters VALUES ('resource_version', 0), ('epoch', 0);

    CREATE TABLE leases (
        name    TEXT    PRIMARY KEY,
        token   TEXT    NOT NULL,
        holder  TEXT    NOT NULL,
        pid     INTEGER NOT NULL,
        process TEXT    NOT NULL,
        boot    TEXT    NOT NULL,
        expires REAL    NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE keys (
        name  TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE secrets (
        name  TEXT NOT NULL,
        key   TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (name, key)
    ) STRICT, WITHOUT ROWID;
    """,
)
