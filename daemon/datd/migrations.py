"""The tables of the catalogue, and how each format became the next one. SQL, nothing else."""

# One entry a version of the schema: never edited after a release, only added to.
MIGRATIONS = (
    """
    CREATE TABLE archives (
        key TEXT PRIMARY KEY,
        name TEXT UNIQUE,
        tags TEXT NOT NULL,
        mode TEXT NOT NULL,
        paused INTEGER NOT NULL,
        pinned INTEGER,
        added_at REAL NOT NULL,
        updated_at REAL,
        last_peer_at REAL,
        dirty INTEGER NOT NULL,
        downloaded INTEGER NOT NULL,
        uploaded INTEGER NOT NULL,
        summary TEXT NOT NULL,
        conflict TEXT
    ) STRICT;
    CREATE TABLE peers (
        key TEXT NOT NULL REFERENCES archives (key) ON DELETE CASCADE,
        host TEXT NOT NULL,
        port INTEGER NOT NULL,
        PRIMARY KEY (key, host, port)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE archives ADD COLUMN networks TEXT;
    ALTER TABLE archives ADD COLUMN shortname TEXT;
    ALTER TABLE archives ADD COLUMN domain TEXT;
    CREATE UNIQUE INDEX archives_domain ON archives (domain);
    CREATE TABLE good_peers (
        key TEXT NOT NULL REFERENCES archives (key) ON DELETE CASCADE,
        host TEXT NOT NULL,
        port INTEGER NOT NULL,
        kind TEXT NOT NULL,
        last_success REAL NOT NULL,
        sources TEXT NOT NULL,
        useful INTEGER NOT NULL,
        PRIMARY KEY (key, host, port)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE names (
        name TEXT PRIMARY KEY,
        key TEXT NOT NULL,
        expires_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE archives ADD COLUMN include TEXT;
    ALTER TABLE archives ADD COLUMN synced INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE archives ADD COLUMN writable INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE archives ADD COLUMN chunking TEXT NOT NULL DEFAULT 'fixed';
    ALTER TABLE archives ADD COLUMN source TEXT;
    ALTER TABLE archives ADD COLUMN watch INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE archives ADD COLUMN importing INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE archives ADD COLUMN location TEXT;
    ALTER TABLE archives ADD COLUMN layout TEXT NOT NULL DEFAULT 'flat';
    CREATE TABLE version_tags (
        key TEXT NOT NULL REFERENCES archives (key) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY (key, tag)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE archives ADD COLUMN import_rules TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE archives ADD COLUMN forking TEXT;
    """,
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        archive TEXT,
        fields TEXT NOT NULL
    ) STRICT;
    CREATE TABLE event_marks (
        archive TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        complete INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO event_marks SELECT key, coalesce(json_extract(summary, '$.version'), 0),
        CASE WHEN json_extract(summary, '$.complete') THEN json_extract(summary, '$.version')
        ELSE -1 END FROM archives;
    CREATE TABLE webhooks (
        id TEXT PRIMARY KEY,
        fields TEXT NOT NULL,
        progress TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        scope TEXT NOT NULL,
        archives TEXT,
        made_at REAL NOT NULL,
        expires_at REAL,
        last_used_at REAL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE accounts (
        name TEXT PRIMARY KEY,
        email TEXT,
        password TEXT NOT NULL,
        max_bytes INTEGER NOT NULL,
        max_pins INTEGER NOT NULL,
        made_at REAL NOT NULL,
        changed_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE logins (
        hash TEXT PRIMARY KEY,
        account TEXT NOT NULL REFERENCES accounts (name) ON DELETE CASCADE,
        made_at REAL NOT NULL,
        expires_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE pins (
        account TEXT NOT NULL REFERENCES accounts (name) ON DELETE CASCADE,
        key TEXT NOT NULL,
        name TEXT,
        added_at REAL NOT NULL,
        PRIMARY KEY (account, key)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE archives ADD COLUMN web_sources TEXT NOT NULL DEFAULT '[]';
    """,
    """
    CREATE TABLE answers (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        asked TEXT NOT NULL,
        made TEXT,
        answer TEXT
    ) STRICT;
    """,
    """
    CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
)
