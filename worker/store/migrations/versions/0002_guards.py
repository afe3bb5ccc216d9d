"""The guards that make the trail append-only: triggers.

They stop accidents and everyone who is not the database's owner; what the owner does is found by `verify`.

Revision ID: 0002
"""

from alembic import context, op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    if "main" not in context.config.attributes["parts"]:
        return
    connection = op.get_bind()
    for statement in SQLITE_GUARDS if connection.dialect.name == "sqlite" else POSTGRES_GUARDS:
        connection.exec_driver_sql(statement)


# What makes a row the same as an older one: REPLACE would remove the older one without asking any DELETE trigger.
# The hidden rowid counts too; it is -1 as long as the statement does not give one.
SAME = {
    "audit": "id = NEW.id OR (subject = NEW.subject AND seq = NEW.seq) OR rowid = NEW.rowid",
    "audit_leaves": "leaf_index = NEW.leaf_index OR entry_id = NEW.entry_id",
    "seals": "size = NEW.size",
    "unsealed": "entry_id = NEW.entry_id OR rowid = NEW.rowid",
    "audit_bodies": "entry_id = NEW.entry_id OR rowid = NEW.rowid",
}
KEPT = ("audit", "audit_leaves", "seals")
NOT_CHANGED = "the audit trail is append-only: rows of {} are never changed"
NOT_REMOVED = "the audit trail is append-only: rows of {} are never removed"
NOT_AGAIN = "the audit trail is append-only: this row of {} exists already"
NOT_SEALED = "an entry leaves unsealed only when it has its place in audit_leaves"
NOT_WAITING = "only an entry of audit without a place in audit_leaves can wait in unsealed"


def sqlite_guard(name: str, when: str, message: str) -> str:
    return f"CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"


SQLITE_GUARDS = [
    *(sqlite_guard(f"{table}_no_update", f"UPDATE ON {table}", NOT_CHANGED.format(table)) for table in SAME),
    *(sqlite_guard(f"{table}_no_delete", f"DELETE ON {table}", NOT_REMOVED.format(table)) for table in KEPT),
    *(
        sqlite_guard(
            f"{table}_no_replace",
            f"INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})",  # noqa: S608
            NOT_AGAIN.format(table),
        )
        for table, same in SAME.items()
    ),
    sqlite_guard(
        "unsealed_only_sealed",
        "DELETE ON unsealed WHEN NOT EXISTS (SELECT 1 FROM audit_leaves WHERE entry_id = OLD.entry_id)",
        NOT_SEALED,
    ),
    sqlite_guard(
        "unsealed_only_entries",
        "INSERT ON unsealed WHEN NOT EXISTS (SELECT 1 FROM audit WHERE id = NEW.entry_id)"
        " OR EXISTS (SELECT 1 FROM audit_leaves WHERE entry_id = NEW.entry_id)",
        NOT_WAITING,
    ),
]


def postgres_refusal(name: str, message: str) -> str:
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = {message}; END $$"
    )


def postgres_check(name: str, broken: str, message: str) -> str:
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {broken} THEN "
        f"RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = '{message}'; "
        "END IF; RETURN NULL; END $$"
    )


def postgres_guard(table: str, name: str, when: str, how: str) -> tuple[str, str]:
    """ALWAYS: else `session_replication_role = replica` would switch the guard off."""
    return (
        f"CREATE TRIGGER {name} {when} ON {table} {how} EXECUTE FUNCTION billhook_{name}()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
    )


# Refusals are per statement: one that would touch no row is refused as well, and so is INSERT … ON CONFLICT DO UPDATE.
# Checks are per row: with a transition table the planner may read the whole trail for each statement.
POSTGRES_GUARDS = [
    postgres_refusal("billhook_no_update", f"'{NOT_CHANGED.format('')}' || TG_TABLE_NAME"),
    postgres_refusal("billhook_no_delete", f"'{NOT_REMOVED.format('')}' || TG_TABLE_NAME"),
    postgres_check(
        "billhook_only_sealed",
        "NOT EXISTS (SELECT 1 FROM audit_leaves WHERE entry_id = OLD.entry_id)",
        NOT_SEALED,
    ),
    postgres_check(
        "billhook_only_entries",
        "NOT EXISTS (SELECT 1 FROM audit WHERE id = NEW.entry_id)"
        " OR EXISTS (SELECT 1 FROM audit_leaves WHERE entry_id = NEW.entry_id)",
        NOT_WAITING,
    ),
    *(
        statement
        for table in SAME
        for statement in postgres_guard(table, "no_update", "BEFORE UPDATE", "FOR EACH STATEMENT")
    ),
    *(
        statement
        for table in SAME
        for statement in postgres_guard(
            table,
            "no_delete",
            "BEFORE DELETE OR TRUNCATE" if table in KEPT else "BEFORE TRUNCATE",
            "FOR EACH STATEMENT",
        )
    ),
    *postgres_guard("unsealed", "only_sealed", "AFTER DELETE", "FOR EACH ROW"),
    *postgres_guard("unsealed", "only_entries", "AFTER INSERT", "FOR EACH ROW"),
]
