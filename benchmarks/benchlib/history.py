"""A long history: finished builds written straight into a stopped server's database, as src/store/schema.c has it."""

import shutil
import sqlite3
import time

from .rig import say

UUID = ("lower(printf('%s-%s-4%s-8%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2),"
        " substr(hex(randomblob(2)), 2), hex(randomblob(6))))")

# {new}: the number of a build; what it is like is taken from a build that the server itself has run
STATEMENTS = [
    "INSERT INTO build (id, uuid, project_id, commit_hash, ref, branch, event, planner, author, email, subject, pusher,"
    " env, state, reason, message, jobs_left, created_at, started_at, finished_at)"
    " SELECT n.id, {uuid}, project_id, lower(hex(randomblob(20))), ref, branch, event, planner, author, email, subject,"
    " pusher, env, state, reason, message, jobs_left, created_at + n.id, started_at + n.id, finished_at + n.id"
    " FROM n, build WHERE build.id = :model",
    "INSERT INTO job (id, uuid, build_id, position, name, kind, executor, arch, condition, spec, state, reason, message,"
    " attempt, needs_left, priority, runner_id, exit_code, created_at, queued_at, started_at, finished_at)"
    " SELECT n.id, {uuid}, n.id, position, name, kind, executor, arch, condition, spec, state, reason, message,"
    " attempt, needs_left, priority, runner_id, exit_code, created_at, queued_at, started_at, finished_at"
    " FROM n, job WHERE job.build_id = :model",
    "INSERT INTO attempt (job_id, number, runner_id, state, reason, started_at, finished_at)"
    " SELECT n.id, number, a.runner_id, a.state, a.reason, a.started_at, a.finished_at"
    " FROM n, attempt a JOIN job ON job.id = a.job_id WHERE job.build_id = :model",
    "INSERT INTO step (job_id, attempt, position, name, state, exit_code, started_at, finished_at, log_start, log_end)"
    " SELECT n.id, s.attempt, s.position, s.name, s.state, s.exit_code, s.started_at, s.finished_at, log_start, log_end"
    " FROM n, step s JOIN job ON job.id = s.job_id WHERE job.build_id = :model",
    "INSERT INTO trigger_event (project_id, kind, ref, old_rev, new_rev, pusher, build_id, outcome, created_at)"
    " SELECT project_id, kind, ref, old_rev, new_rev, pusher, n.id, outcome, created_at"
    " FROM n, trigger_event t WHERE t.build_id = :model",
    "INSERT INTO event (kind, build_id, state, created_at)"
    " SELECT kind, n.id, state, created_at FROM n, event WHERE event.build_id = :model",
]
NUMBERS = "WITH RECURSIVE n (id) AS (SELECT :first UNION ALL SELECT id + 1 FROM n WHERE id < :last) "


def fill(database, count, model):
    """Adds `count` builds that are like the build `model`. No server may be running on it."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -1000000")
    first = 1 + connection.execute("SELECT max((SELECT max(id) FROM build), (SELECT max(id) FROM job))").fetchone()[0]
    names = {"first": first, "last": first + count - 1, "model": model}
    connection.execute("BEGIN")
    for statement in STATEMENTS:
        connection.execute(_with_numbers(statement), {key: names[key] for key in names})
    connection.execute("UPDATE project SET builds_count = builds_count + :count, last_build_id = :last"
                       " WHERE id = (SELECT project_id FROM build WHERE id = :model)", {**names, "count": count})
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    assert connection.execute("SELECT count(*) FROM build").fetchone()[0] >= count
    connection.close()


# Waiting builds of {projects} further repositories; {labels}: what their jobs ask of a runner.
QUEUE = [
    "INSERT INTO project (id, uuid, org_id, name, source, path, url, created_at, slug)"
    " SELECT :project + n.id - :first, {uuid}, 1, 'queued' || n.id, source, path, url, created_at, 'queued' || n.id"
    " FROM n, project WHERE project.id = 1 AND n.id < :first + :projects",
    "INSERT INTO build (id, uuid, project_id, commit_hash, ref, branch, event, planner, author, email, subject, pusher,"
    " env, state, jobs_left, created_at)"
    " SELECT n.id, {uuid}, :project + n.id % :projects, commit_hash, ref, branch, event, planner, author, email, subject,"
    " pusher, env, 'queued', 1, created_at + n.id FROM n, build WHERE build.id = :model",
    "INSERT INTO job (id, uuid, build_id, position, name, kind, executor, arch, condition, spec, state, needs_left,"
    " created_at, queued_at, project_id, fit_id)"
    " SELECT n.id, {uuid}, n.id, position, name, kind, executor, arch, condition, spec, 'queued', 0, created_at + n.id,"
    " created_at + n.id, :project + n.id % :projects, :fit FROM n, job WHERE job.build_id = :model",
]


def queue(database, count, model, projects=1, labels="{}"):
    """Adds `count` builds that wait, like the build `model`. No server may be running on it."""
    if count == 0:
        return
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    one = lambda sql: connection.execute(sql, names).fetchone()[0]  # noqa: E731
    names = {"model": model, "projects": min(projects, count), "labels": labels}
    names["first"] = 1 + one("SELECT max((SELECT max(id) FROM build), (SELECT max(id) FROM job))")
    names["last"] = names["first"] + count - 1
    names["project"] = 1 + one("SELECT max(id) FROM project")
    connection.execute("BEGIN")
    names["fit"] = one("INSERT INTO fit (executor, arch, labels, cpu, memory, disk) SELECT executor, arch, :labels, 0, 0, 0"
                       " FROM job WHERE build_id = :model ON CONFLICT (executor, arch, labels, cpu, memory, disk)"
                       " DO UPDATE SET cpu = excluded.cpu RETURNING id")
    for statement in QUEUE:
        connection.execute(_with_numbers(statement), {key: value for key, value in names.items() if f":{key}" in
                                                      _with_numbers(statement)})
    connection.execute("INSERT INTO lane (fit_id, priority, project_id, served_at) SELECT DISTINCT fit_id, priority, project_id,"
                       " 0 FROM job WHERE state = 'queued' ON CONFLICT DO NOTHING")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    connection.close()


def _with_numbers(statement):
    insert, select, rest = statement.replace("{uuid}", UUID).partition(" SELECT ")
    return f"{insert} {NUMBERS}{select.strip()} {rest}"


def with_history(rig, count, *flags, name=None):
    """(A server that is stopped, with `count` finished builds and the repository "noop"; the number of a build
    that it has really run). Kept with --keep, unless it has a name of its own."""
    folder = (rig.keep or rig.folder) / f"history-{count}" if name is None else rig.folder / name
    server = rig.server_in(folder, *flags)
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        server.start()
        server.pipeline("noop")
        server.pipeline("sandboxed", executor="sandbox")
        server.stop()
        begin = time.monotonic()
        fill(server.state / "pelton.db", count, 1)
        say(f"wrote a history of {count:,} builds in {time.monotonic() - begin:.0f} s")
        (folder / "made").touch()
    return server, 1
