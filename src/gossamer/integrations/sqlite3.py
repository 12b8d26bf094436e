"""sqlite3 of the standard library."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, db

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

sqlite3 = Integration(
    "sqlite3",
    title="SQLite3",
    category="datastore",
    service="sqlite",
    layer=db.LAYER,
    docs="https://docs.python.org/3/library/sqlite3.html",
    page=("fully supported", True),
    aliases=("sqlite",),
)


@sqlite3.dbapi("sqlite3.dbapi2:connect", prefix="sqlite", factory=(5, "factory"))
@sqlite3.dbapi("sqlite3:connect", prefix="sqlite", factory=(5, "factory"))
def connect(call: Call) -> Dict[str, Any]:
    """The database: its file, or `:memory:`."""
    name = call.argument(0, "database")
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    return db.connection("sqlite", str(name).partition("?")[0])
