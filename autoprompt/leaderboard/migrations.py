"""Migrations that create and upgrade the leaderboard's schema."""

# Append only: a published migration is never edited. The file's user_version is the number of migrations applied.
# Their SQL can call the function row_checksum.
MIGRATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "0001_first_release",
        (
            """CREATE TABLE runs (
                number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT UNIQUE, corpus TEXT NOT NULL,
                fingerprint TEXT NOT NULL, model TEXT NOT NULL, seed INTEGER NOT NULL, strategy TEXT NOT NULL,
                config TEXT NOT NULL, started TEXT NOT NULL, status TEXT NOT NULL, finished TEXT, result TEXT,
                environment TEXT NOT NULL, evaluations INTEGER NOT NULL, checksum TEXT NOT NULL)""",
            "CREATE INDEX runs_data ON runs (fingerprint, id, strategy)",
            """CREATE TABLE evaluations (
                number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), key TEXT NOT NULL,
                entry TEXT NOT NULL, role TEXT NOT NULL, split TEXT NOT NULL, rung INTEGER NOT NULL,
                fold INTEGER NOT NULL, repeat INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT, loss REAL,
                accuracy REAL, metric TEXT, value REAL, n INTEGER, readability REAL, seconds REAL NOT NULL,
                tokens INTEGER NOT NULL, length INTEGER NOT NULL, candidate TEXT NOT NULL,
                checksum TEXT NOT NULL, UNIQUE (run, key))""",
            # All columns used for ranking: the best of many thousands are found without reading prompts.
            """CREATE INDEX evaluations_ranked ON evaluations (
                entry, run, split, rung, fold, status, loss, metric, n, length, readability)""",
            "CREATE INDEX evaluations_key ON evaluations (key)",
            # Separate tables, so that listing entries does not read per-example data.
            """CREATE TABLE examples (
                evaluation INTEGER PRIMARY KEY REFERENCES evaluations(number), log_probs TEXT NOT NULL,
                predictions TEXT NOT NULL, row_ids TEXT NOT NULL, votes TEXT NOT NULL, checksum TEXT NOT NULL)""",
            """CREATE TABLE losses (
                evaluation INTEGER PRIMARY KEY REFERENCES evaluations(number), losses TEXT NOT NULL,
                checksum TEXT NOT NULL)""",
            # Completed steps of an unfinished run: see ``run_tables.Step``.
            """CREATE TABLE steps (
                number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), kind TEXT NOT NULL,
                key TEXT NOT NULL, value TEXT NOT NULL, spent REAL NOT NULL, checksum TEXT NOT NULL)""",
            "CREATE INDEX steps_run ON steps (run)",
            """CREATE TABLE origins (
                number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), entry TEXT NOT NULL,
                operator TEXT NOT NULL, parents TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (run, entry))""",
            """CREATE TABLE estimates (
                number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), entry TEXT NOT NULL,
                error REAL NOT NULL, deviation REAL NOT NULL, unlabeled_weight REAL NOT NULL, checksum TEXT NOT NULL,
                UNIQUE (run, entry))""",
            """CREATE TABLE data_rows (
                number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), split TEXT NOT NULL,
                row_id TEXT NOT NULL, fields TEXT NOT NULL, label TEXT NOT NULL, checksum TEXT NOT NULL,
                UNIQUE (run, split, row_id))""",
            # Number of rows in these tables for each run: a damaged index hides rows without changing any.
            """CREATE TABLE counts (
                run TEXT NOT NULL REFERENCES runs(id), kind TEXT NOT NULL, n INTEGER NOT NULL, checksum TEXT NOT NULL,
                PRIMARY KEY (run, kind)) WITHOUT ROWID""",
        ),
    ),
)
SCHEMA_VERSION = len(MIGRATIONS)
