"""Migrations that create and upgrade the leaderboard's schema."""

# Append only: a published migration is never edited. The file's user_version is the number of migrations applied.
# Their SQL can call the function row_checksum.
MIGRATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "0001_runs_evaluations_examples",
        (
            """CREATE TABLE runs (
                number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT UNIQUE, corpus TEXT NOT NULL,
                fingerprint TEXT NOT NULL, model TEXT NOT NULL, seed INTEGER NOT NULL, strategy TEXT NOT NULL,
                config TEXT NOT NULL, started TEXT NOT NULL, status TEXT NOT NULL, finished TEXT, result TEXT,
                environment TEXT NOT NULL, evaluations INTEGER NOT NULL, checksum TEXT NOT NULL)""",
            """CREATE TABLE evaluations (
                number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), key TEXT NOT NULL,
                entry TEXT NOT NULL, role TEXT NOT NULL, split TEXT NOT NULL, rung INTEGER NOT NULL,
                fold INTEGER NOT NULL, repeat INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT, loss REAL,
                accuracy REAL, metric TEXT, value REAL, n INTEGER, readability REAL, seconds REAL NOT NULL,
                tokens INTEGER NOT NULL, length INTEGER NOT NULL, candidate TEXT NOT NULL,
                checksum TEXT NOT NULL, UNIQUE (run, key))""",
            "CREATE INDEX evaluations_entry ON evaluations (entry)",
            # A separate table, so that listing entries does not read per-example data.
            """CREATE TABLE examples (
                evaluation INTEGER PRIMARY KEY REFERENCES evaluations(number), log_probs TEXT NOT NULL,
                predictions TEXT NOT NULL, row_ids TEXT NOT NULL, checksum TEXT NOT NULL)""",
        ),
    ),
    (
        "0002_losses",
        (
            # Every evaluation has a row, so that a lost row is noticed. NULL: stored by version 1.
            """CREATE TABLE losses (
                evaluation INTEGER PRIMARY KEY REFERENCES evaluations(number), losses TEXT, checksum TEXT NOT NULL)""",
            "INSERT INTO losses SELECT number, NULL, 'absent' FROM evaluations",
            # For a program of version 1 that still has the file open and continues to write.
            """CREATE TRIGGER losses_of_version_1 AFTER INSERT ON examples
                WHEN NOT EXISTS (SELECT 1 FROM losses WHERE evaluation = NEW.evaluation)
                BEGIN INSERT INTO losses VALUES (NEW.evaluation, NULL, 'absent'); END""",
        ),
    ),
    (
        "0003_steps",
        (
            # Completed steps of an unfinished run: see ``run_tables.Step``.
            """CREATE TABLE steps (
                number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), kind TEXT NOT NULL,
                key TEXT NOT NULL, value TEXT NOT NULL, spent REAL NOT NULL, checksum TEXT NOT NULL)""",
            "CREATE INDEX steps_run ON steps (run)",
        ),
    ),
    (
        "0004_origins_data_rows",
        (
            """CREATE TABLE origins (
                number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), entry TEXT NOT NULL,
                operator TEXT NOT NULL, parents TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (run, entry))""",
            """CREATE TABLE data_rows (
                number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), split TEXT NOT NULL,
                row_id TEXT NOT NULL, fields TEXT NOT NULL, label TEXT NOT NULL, checksum TEXT NOT NULL,
                UNIQUE (run, split, row_id))""",
        ),
    ),
    (
        "0005_counts",
        (
            # Number of steps, origins and data rows of each run: a damaged index hides rows without changing any.
            """CREATE TABLE counts (
                run TEXT NOT NULL REFERENCES runs(id), kind TEXT NOT NULL, n INTEGER NOT NULL, checksum TEXT NOT NULL,
                PRIMARY KEY (run, kind)) WITHOUT ROWID""",
            *(
                f"INSERT INTO counts SELECT run, '{kind}', count(*), "  # noqa: S608
                f"row_checksum(run, '{kind}', count(*)) FROM {kind} GROUP BY run"
                for kind in ("steps", "origins", "data_rows")
            ),
            # All columns used for ranking: the best of many thousands are found without reading prompts.
            "DROP INDEX evaluations_entry",
            """CREATE INDEX evaluations_ranked ON evaluations (
                entry, run, split, rung, fold, status, loss, metric, n, length, readability)""",
            "CREATE INDEX runs_data ON runs (fingerprint, id, strategy)",
            "CREATE INDEX evaluations_key ON evaluations (key)",
        ),
    ),
)
SCHEMA_VERSION = len(MIGRATIONS)
OLDEST_READABLE = 1
LOSSES_SINCE = 2
COUNTS_SINCE = 5
ABSENT = "absent"
"""In place of a checksum, for losses that were never stored."""
