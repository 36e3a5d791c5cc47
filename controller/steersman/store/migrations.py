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
    """
    -- Every version of every object that somebody may still ask for, by the revision that made it.
    -- `before` is the revision of the version that this one replaced; `at` is in Unix seconds.
    CREATE TABLE versions (
        revision INTEGER PRIMARY KEY,
        kind     TEXT    NOT NULL,
        name     TEXT    NOT NULL,
        type     TEXT    NOT NULL,
        before   INTEGER,
        at       INTEGER NOT NULL,
        body     TEXT    NOT NULL,
        managed  TEXT    NOT NULL
    ) STRICT;
    INSERT INTO versions
        SELECT resource_version, kind, name, 'ADDED', NULL, unixepoch(), body, '[]' FROM objects;

    CREATE TABLE current (
        kind     TEXT    NOT NULL,
        name     TEXT    NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO current SELECT kind, name, resource_version FROM objects;
    DROP TABLE objects;
    ALTER TABLE current RENAME TO objects;

    -- Who names whom as its owner.
    CREATE TABLE owners (
        owner_kind TEXT NOT NULL,
        owner_name TEXT NOT NULL,
        kind       TEXT NOT NULL,
        name       TEXT NOT NULL,
        PRIMARY KEY (owner_kind, owner_name, kind, name)
    ) STRICT, WITHOUT ROWID;
    INSERT OR IGNORE INTO owners
        SELECT owner.value ->> '$.kind', owner.value ->> '$.name', kind, versions.name
        FROM versions, json_each(body, '$.metadata.ownerReferences') AS owner;

    -- Events are objects as well.
    INSERT INTO versions
        SELECT
            (SELECT value FROM counters WHERE name = 'resource_version')
                + row_number() OVER (ORDER BY id),
            'Event', rtrim(substr(name, 1, 50), '-') || '-' || id, 'ADDED', NULL, unixepoch(),
            json_object(
                'apiVersion', 'steersman/v1',
                'kind', 'Event',
                'metadata', json_object(
                    'creationTimestamp', first,
                    'generation', 1,
                    'name', rtrim(substr(name, 1, 50), '-') || '-' || id,
                    'resourceVersion', (SELECT value FROM counters WHERE name = 'resource_version')
                        + row_number() OVER (ORDER BY id),
                    'uid', 'event-' || lower(hex(randomblob(16)))
                ),
                'spec', json_patch(
                    json_object(
                        'count', count,
                        'involved', json_object('kind', kind, 'name', name),
                        'message', message,
                        'reason', reason,
                        'time', last,
                        'type', type
                    ),
                    json_object('host', host)
                )
            ),
            '[]'
        FROM events;
    INSERT INTO objects SELECT kind, name, revision FROM versions WHERE kind = 'Event';
    UPDATE counters
        SET value = max(value, (SELECT coalesce(max(revision), 0) FROM versions))
        WHERE name = 'resource_version';

    -- Changes up to this revision are not known any more.
    INSERT INTO counters SELECT 'compacted', value FROM counters WHERE name = 'resource_version';
    """,
)
