"""Trials of what follows events: late, repeated and reordered ones must leave the newest version."""

from __future__ import annotations

import json

from labs.trial import operations as op
from labs.trial.bench import AT
from labs.trial.exercises.stage import Stage
from labs.trial.history import Ids
from labs.trial.site import clock_offset_ns, monotonic_ns

_SCHEMA = f"""
CREATE TABLE document_search (document text PRIMARY KEY, version integer NOT NULL, title text NOT NULL);
CREATE TABLE audit (n bigint GENERATED ALWAYS AS IDENTITY, document text, version integer, {AT});
CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO audit (document, version) VALUES (NEW.document, NEW.version); RETURN NEW; END $$;
CREATE TRIGGER audited AFTER INSERT OR UPDATE ON document_search FOR EACH ROW EXECUTE FUNCTION audited();
"""
#: The order in which a document's versions are told of: each is late, or repeated, somewhere.
_ORDERS = ([1, 3, 2], [2, 1, 3, 2], [3, 1, 2, 3], [1, 2, 1, 3])


def documents(stage: Stage) -> None:
    """One indexer, which is killed and started again, and events in the wrong order."""
    bench = stage.bench
    bench.database.execute(_SCHEMA.encode())
    with bench.channel() as channel:
        channel.queue_declare("search", durable=True)
    stage.say("your program starts")
    stage.start("indexer-1")
    stage.ready("search", consumers=1)
    for number in range(1, 13):
        document = f"document-{number}"
        for place, version in enumerate(stage.random.choice(_ORDERS)):
            message = f"{document}-version-{version}-{place}"
            bench.history.add("author", "invoke", op.VERSION, Ids(job=document, message=message), count=version)
            body = {"document": document, "version": version, "title": f"{document}, version {version}"}
            bench.publish({message: json.dumps(body).encode()}, key="search")
    stage.kill("indexer-1", after=op.SETTLE, times=stage.random.randint(5, 15))
    stage.start("indexer-2")
    stage.finish(
        lambda: bench.messages(op.MARK) <= bench.messages(op.SETTLE) and bench.depth("search").consumers == 1,
        queues=["search"],
    )
    offset_ns = clock_offset_ns()
    for document, version, at in bench.database.execute("SELECT document, version, at FROM audit ORDER BY n"):
        at_ns = monotonic_ns(at, offset_ns=offset_ns)
        bench.history.add("database", "ok", op.VERSION, Ids(job=document), at_ns=at_ns, count=version)
