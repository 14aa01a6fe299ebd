#include "store/schema.h"

static const char foundation[] =
    "CREATE TABLE org ("
    " id INTEGER PRIMARY KEY,"
    " name TEXT NOT NULL UNIQUE,"
    " created_at INTEGER NOT NULL) STRICT;"
    "INSERT INTO org (id, name, created_at) VALUES (1, 'default', 0);"

    /* document 1's project and document 3's repo are one row */
    "CREATE TABLE project ("
    " id INTEGER PRIMARY KEY,"
    " uuid TEXT NOT NULL UNIQUE,"
    " org_id INTEGER NOT NULL REFERENCES org (id),"
    " name TEXT NOT NULL,"
    " source TEXT NOT NULL CHECK (source IN ('hosted', 'remote')),"
    " path TEXT NOT NULL,"
    " url TEXT NOT NULL,"
    " builds_count INTEGER NOT NULL DEFAULT 0,"
    " last_build_id INTEGER NOT NULL DEFAULT 0,"
    " created_at INTEGER NOT NULL,"
    " UNIQUE (org_id, name)) STRICT;"

    /* what we have seen of a repository's refs: a push that is told twice is one, one that nobody told is
       found */
    "CREATE TABLE ref ("
    " project_id INTEGER NOT NULL REFERENCES project (id),"
    " name TEXT NOT NULL,"
    " commit_hash TEXT NOT NULL,"
    " updated_at INTEGER NOT NULL,"
    " PRIMARY KEY (project_id, name)) STRICT;"

    /* a trigger is stored before it is answered */
    "CREATE TABLE trigger_event ("
    " id INTEGER PRIMARY KEY,"
    " project_id INTEGER NOT NULL REFERENCES project (id),"
    " delivery TEXT,"
    " kind TEXT NOT NULL,"
    " ref TEXT NOT NULL,"
    " old_rev TEXT NOT NULL,"
    " new_rev TEXT NOT NULL,"
    " pusher TEXT NOT NULL,"
    " build_id INTEGER,"
    " outcome TEXT NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " UNIQUE (project_id, delivery)) STRICT;"
    "CREATE INDEX trigger_event_ref ON trigger_event (project_id, ref, id);"

    "CREATE TABLE build ("
    " id INTEGER PRIMARY KEY,"
    " uuid TEXT NOT NULL UNIQUE,"
    " project_id INTEGER NOT NULL REFERENCES project (id),"
    " commit_hash TEXT NOT NULL,"
    " ref TEXT NOT NULL,"
    " branch TEXT NOT NULL,"
    " event TEXT NOT NULL,"
    " planner TEXT NOT NULL,"
    " author TEXT NOT NULL,"
    " email TEXT NOT NULL,"
    " subject TEXT NOT NULL,"
    " pusher TEXT NOT NULL,"
    " env TEXT NOT NULL,"
    " state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'success', 'failed', 'partial', "
    "'cancelled')),"
    " reason TEXT NOT NULL DEFAULT '',"
    " message TEXT NOT NULL DEFAULT '',"
    " jobs_left INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " started_at INTEGER NOT NULL DEFAULT 0,"
    " finished_at INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX build_project ON build (project_id, id);"
    "CREATE INDEX build_commit ON build (commit_hash);"
    "CREATE INDEX build_active ON build (id) WHERE state IN ('queued', 'running');"

    "CREATE TABLE job ("
    " id INTEGER PRIMARY KEY,"
    " uuid TEXT NOT NULL UNIQUE,"
    " build_id INTEGER NOT NULL REFERENCES build (id),"
    " position INTEGER NOT NULL,"
    " name TEXT NOT NULL,"
    " kind TEXT NOT NULL,"
    " executor TEXT NOT NULL,"
    " arch TEXT NOT NULL,"
    " condition TEXT NOT NULL,"
    " spec TEXT NOT NULL,"
    " state TEXT NOT NULL CHECK (state IN"
    "  ('blocked', 'queued', 'running', 'success', 'failed', 'cancelled', 'skipped')),"
    " reason TEXT NOT NULL DEFAULT '',"
    " message TEXT NOT NULL DEFAULT '',"
    " attempt INTEGER NOT NULL DEFAULT 0,"
    " needs_left INTEGER NOT NULL,"
    " priority INTEGER NOT NULL DEFAULT 0,"
    " runner_id INTEGER NOT NULL DEFAULT 0,"
    " lease_until INTEGER NOT NULL DEFAULT 0,"
    " stop_reason TEXT NOT NULL DEFAULT '',"
    " exit_code INTEGER NOT NULL DEFAULT -1,"
    " created_at INTEGER NOT NULL,"
    " queued_at INTEGER NOT NULL DEFAULT 0,"
    " started_at INTEGER NOT NULL DEFAULT 0,"
    " finished_at INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE (build_id, position)) STRICT;"
    /* claiming and reaping look only at what waits and what runs, however long the history is */
    "CREATE INDEX job_queued ON job (executor, arch, priority DESC, id) WHERE state = 'queued';"
    "CREATE INDEX job_running ON job (lease_until) WHERE state = 'running';"
    "CREATE INDEX job_running_runner ON job (runner_id, id) WHERE state = 'running';"

    "CREATE TABLE job_need ("
    " job_id INTEGER NOT NULL REFERENCES job (id),"
    " need_id INTEGER NOT NULL REFERENCES job (id),"
    " PRIMARY KEY (job_id, need_id)) STRICT;"
    "CREATE INDEX job_need_need ON job_need (need_id);"

    "CREATE TABLE attempt ("
    " job_id INTEGER NOT NULL REFERENCES job (id),"
    " number INTEGER NOT NULL,"
    " runner_id INTEGER NOT NULL,"
    " state TEXT NOT NULL,"
    " reason TEXT NOT NULL DEFAULT '',"
    " started_at INTEGER NOT NULL,"
    " finished_at INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY (job_id, number)) STRICT;"

    "CREATE TABLE step ("
    " job_id INTEGER NOT NULL REFERENCES job (id),"
    " attempt INTEGER NOT NULL,"
    " position INTEGER NOT NULL,"
    " name TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " exit_code INTEGER NOT NULL,"
    " started_at INTEGER NOT NULL,"
    " finished_at INTEGER NOT NULL,"
    " log_start INTEGER NOT NULL,"
    " log_end INTEGER NOT NULL,"
    " PRIMARY KEY (job_id, attempt, position)) STRICT;"

    "CREATE TABLE artifact ("
    " id INTEGER PRIMARY KEY,"
    " build_id INTEGER NOT NULL REFERENCES build (id),"
    " job_id INTEGER NOT NULL REFERENCES job (id),"
    " path TEXT NOT NULL,"
    " size INTEGER NOT NULL,"
    " sha256 TEXT NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " UNIQUE (build_id, path)) STRICT;"

    "CREATE TABLE token ("
    " id INTEGER PRIMARY KEY,"
    " name TEXT NOT NULL,"
    " hash TEXT NOT NULL UNIQUE,"
    " role TEXT NOT NULL,"
    " kind TEXT NOT NULL CHECK (kind IN ('token', 'session')),"
    " runner_id INTEGER NOT NULL DEFAULT 0,"
    " created_at INTEGER NOT NULL,"
    " expires_at INTEGER NOT NULL DEFAULT 0,"
    " revoked_at INTEGER NOT NULL DEFAULT 0) STRICT;"

    "CREATE TABLE runner ("
    " id INTEGER PRIMARY KEY,"
    " uuid TEXT NOT NULL UNIQUE,"
    " name TEXT NOT NULL UNIQUE,"
    " arch TEXT NOT NULL,"
    " labels TEXT NOT NULL,"
    " executors TEXT NOT NULL,"
    " slots INTEGER NOT NULL,"
    " version TEXT NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " last_seen INTEGER NOT NULL DEFAULT 0) STRICT;"

    "CREATE TABLE deployment ("
    " id INTEGER PRIMARY KEY,"
    " uuid TEXT NOT NULL UNIQUE,"
    " project_id INTEGER NOT NULL REFERENCES project (id),"
    " build_id INTEGER NOT NULL REFERENCES build (id),"
    " job_id INTEGER NOT NULL REFERENCES job (id),"
    " commit_hash TEXT NOT NULL,"
    " branch TEXT NOT NULL,"
    " status TEXT NOT NULL CHECK (status IN"
    "  ('pending', 'building', 'deploying', 'live', 'failed', 'cancelled', 'superseded')),"
    " sha256 TEXT NOT NULL DEFAULT '',"
    " size INTEGER NOT NULL DEFAULT 0,"
    " spec TEXT NOT NULL,"
    " url TEXT NOT NULL DEFAULT '',"
    " message TEXT NOT NULL DEFAULT '',"
    " created_at INTEGER NOT NULL,"
    " started_at INTEGER NOT NULL DEFAULT 0,"
    " completed_at INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX deployment_project ON deployment (project_id, id);"
    "CREATE INDEX deployment_build ON deployment (build_id);"
    "CREATE UNIQUE INDEX deployment_job ON deployment (job_id);"
    "CREATE UNIQUE INDEX deployment_live ON deployment (project_id) WHERE status = 'live';"

    /* what /api/events tells, and where a follower that lost its connection goes on */
    "CREATE TABLE event ("
    " id INTEGER PRIMARY KEY,"
    " kind TEXT NOT NULL CHECK (kind IN ('created', 'updated', 'completed')),"
    " build_id INTEGER NOT NULL,"
    " state TEXT NOT NULL,"
    " created_at INTEGER NOT NULL) STRICT;";

/* a session is of the token that it was opened with, and ends with it */
static const char session_parents[] = "ALTER TABLE token ADD COLUMN parent_id INTEGER NOT NULL DEFAULT 0;"
                                      "CREATE INDEX token_parent ON token (parent_id) WHERE parent_id <> 0;";

/* the first label of a project's host name: one a project, whatever its name is */
static const char project_slugs[] = "ALTER TABLE project ADD COLUMN slug TEXT NOT NULL DEFAULT '';"
                                    "UPDATE project SET slug = LOWER(REPLACE(name, '_', '-'));"
                                    "UPDATE project SET slug = slug || '-' || SUBSTR(uuid, 1, 8)"
                                    " WHERE EXISTS (SELECT 1 FROM project older"
                                    "  WHERE older.slug = project.slug AND older.id < project.id);"
                                    "CREATE UNIQUE INDEX project_slug ON project (slug);";

/* Dispatch and life: what a job asks of a runner (fit), the order in which waiting jobs are taken (lane),
 * what happens at a time (timer), groups of builds of which only so many run, retries, re-runs, drained
 * runners, a paused queue. */
static const char dispatch_and_life[] =
    /* one row for each combination that was ever asked for; labels: JSON with sorted keys; cpu: thousandths;
       memory, disk: bytes; 0: none */
    "CREATE TABLE fit ("
    " id INTEGER PRIMARY KEY,"
    " executor TEXT NOT NULL,"
    " arch TEXT NOT NULL,"
    " labels TEXT NOT NULL,"
    " cpu INTEGER NOT NULL,"
    " memory INTEGER NOT NULL,"
    " disk INTEGER NOT NULL,"
    " UNIQUE (executor, arch, labels, cpu, memory, disk)) STRICT;"
    "INSERT INTO fit (executor, arch, labels, cpu, memory, disk)"
    " SELECT DISTINCT executor, arch, '{}', 0, 0, 0 FROM job WHERE state IN ('blocked', 'queued', 'running');"

    /* copied_from: a job that a re-run took over with its result; losses: since the last retry */
    "ALTER TABLE job ADD COLUMN project_id INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN fit_id INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN copied_from INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN retry TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE job ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN queue_timeout INTEGER NOT NULL DEFAULT 0;"
    "UPDATE job SET project_id = (SELECT b.project_id FROM build b WHERE b.id = job.build_id),"
    " fit_id = (SELECT f.id FROM fit f WHERE f.executor = job.executor AND f.arch = job.arch),"
    " losses = CASE WHEN attempt > 1 THEN attempt - 1 ELSE 0 END WHERE state IN ('blocked', 'queued', "
    "'running');"
    "DROP INDEX job_queued;"
    "CREATE INDEX job_queued ON job (fit_id, priority, project_id, id) WHERE state = 'queued';"

    /* where jobs are queued: a row while there is one; the project that was served longest ago is next */
    "ALTER TABLE project ADD COLUMN served_at INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX project_served ON project (served_at);"
    "CREATE TABLE lane ("
    " fit_id INTEGER NOT NULL,"
    " priority INTEGER NOT NULL,"
    " project_id INTEGER NOT NULL,"
    " served_at INTEGER NOT NULL,"
    " PRIMARY KEY (fit_id, priority, project_id)) STRICT;"
    "CREATE INDEX lane_order ON lane (fit_id, priority DESC, served_at, project_id);"
    "CREATE INDEX lane_project ON lane (project_id);"
    "INSERT INTO lane (fit_id, priority, project_id, served_at)"
    " SELECT DISTINCT fit_id, priority, project_id, 0 FROM job WHERE state = 'queued';"

    /* kinds: 'build' (its time is over), 'queue' (a job has waited too long), 'retry' (a job's pause is over)
     */
    "CREATE TABLE timer ("
    " kind TEXT NOT NULL,"
    " subject_id INTEGER NOT NULL,"
    " due_at INTEGER NOT NULL,"
    " PRIMARY KEY (kind, subject_id)) STRICT;"
    "CREATE INDEX timer_due ON timer (due_at);"

    /* held: its group is full, and its jobs wait as blocked; stop_reason: why it was made to end */
    "ALTER TABLE build ADD COLUMN concurrency_group TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE build ADD COLUMN concurrency_limit INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE build ADD COLUMN held INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE build ADD COLUMN stop_reason TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE build ADD COLUMN stop_message TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE build ADD COLUMN timeout INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE build ADD COLUMN rerun_of INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX build_group ON build (project_id, concurrency_group, held, id)"
    " WHERE concurrency_group <> '' AND state IN ('queued', 'running');"

    /* what is said of an attempt that was not the last one */
    "ALTER TABLE attempt ADD COLUMN message TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE attempt ADD COLUMN exit_code INTEGER NOT NULL DEFAULT -1;"

    "ALTER TABLE runner ADD COLUMN cpu INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runner ADD COLUMN memory INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runner ADD COLUMN disk INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runner ADD COLUMN drained_by TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE runner ADD COLUMN drained_at INTEGER NOT NULL DEFAULT 0;"

    /* one row while the queue is paused */
    "CREATE TABLE pause ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " paused_by TEXT NOT NULL,"
    " reason TEXT NOT NULL,"
    " paused_at INTEGER NOT NULL) STRICT;";

/* it may fail, and all goes on as if it had gone well */
static const char allowed_failures[] = "ALTER TABLE job ADD COLUMN allow_failure INTEGER NOT NULL DEFAULT 0;";

/* project_id 0: of the whole organisation; untrusted: the build gets none */
static const char secrets[] = "CREATE TABLE secret ("
                              " id INTEGER PRIMARY KEY,"
                              " org_id INTEGER NOT NULL REFERENCES org (id),"
                              " project_id INTEGER NOT NULL,"
                              " name TEXT NOT NULL,"
                              " sealed TEXT NOT NULL,"
                              " updated_by TEXT NOT NULL,"
                              " created_at INTEGER NOT NULL,"
                              " updated_at INTEGER NOT NULL,"
                              " UNIQUE (org_id, project_id, name)) STRICT;"
                              "ALTER TABLE build ADD COLUMN untrusted INTEGER NOT NULL DEFAULT 0;";

/* Stored pipelines with their versions and triggers (a schedule's timer is of kind 'cron', its subject the
 * trigger), and what a build has beside others because one of them made it. */
static const char pipelines[] =
    "CREATE TABLE pipeline ("
    " id INTEGER PRIMARY KEY,"
    " project_id INTEGER NOT NULL REFERENCES project (id),"
    " uuid TEXT NOT NULL UNIQUE,"
    " name TEXT NOT NULL,"
    " description TEXT NOT NULL,"
    " version INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL,"
    " deleted_at INTEGER NOT NULL DEFAULT 0) STRICT;"

    "CREATE TABLE pipeline_version ("
    " pipeline_id INTEGER NOT NULL REFERENCES pipeline (id),"
    " number INTEGER NOT NULL,"
    " created_by TEXT NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " yaml TEXT NOT NULL,"
    " PRIMARY KEY (pipeline_id, number)) STRICT;"

    "CREATE TABLE pipeline_trigger ("
    " id INTEGER PRIMARY KEY,"
    " pipeline_id INTEGER NOT NULL REFERENCES pipeline (id),"
    " type TEXT NOT NULL,"
    " repository TEXT NOT NULL,"
    " cron TEXT NOT NULL,"
    " timezone TEXT NOT NULL) STRICT;"
    "CREATE INDEX pipeline_trigger_pipeline ON pipeline_trigger (pipeline_id);"
    "CREATE INDEX pipeline_trigger_repository ON pipeline_trigger (repository) WHERE repository <> '';"

    "CREATE TABLE execution ("
    " build_id INTEGER PRIMARY KEY REFERENCES build (id),"
    " pipeline_id INTEGER NOT NULL REFERENCES pipeline (id),"
    " version INTEGER NOT NULL,"
    " trigger_type TEXT NOT NULL,"
    " triggered_by TEXT NOT NULL,"
    " commit_hash TEXT NOT NULL,"
    " branch TEXT NOT NULL,"
    " repository TEXT NOT NULL,"
    " payload TEXT NOT NULL) STRICT;"
    "CREATE INDEX execution_pipeline ON execution (pipeline_id, build_id);";

/* the outbox: see store/notice.h */
static const char notices[] =
    "CREATE TABLE notice ("
    " id INTEGER PRIMARY KEY,"
    " build_id INTEGER NOT NULL REFERENCES build (id),"
    " moment TEXT NOT NULL CHECK (moment IN ('start', 'success', 'failure', 'end')),"
    " kind TEXT NOT NULL,"
    " config TEXT NOT NULL,"
    " state TEXT NOT NULL CHECK (state IN ('waiting', 'due', 'sent', 'failed', 'dropped')),"
    " error TEXT NOT NULL DEFAULT '',"
    " attempts INTEGER NOT NULL DEFAULT 0,"
    " due_at INTEGER NOT NULL DEFAULT 0,"
    " done_at INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX artifact_sha256 ON artifact (sha256);"
    "CREATE INDEX notice_build ON notice (build_id);"
    "CREATE INDEX notice_due ON notice (due_at) WHERE state = 'due';";

static const char caches[] = "CREATE TABLE cache ("
                             " id INTEGER PRIMARY KEY,"
                             " uuid TEXT NOT NULL UNIQUE,"
                             " project_id INTEGER NOT NULL REFERENCES project (id),"
                             " scope TEXT NOT NULL,"
                             " key TEXT NOT NULL,"
                             " size INTEGER NOT NULL,"
                             " sha256 TEXT NOT NULL,"
                             " created_at INTEGER NOT NULL,"
                             " used_at INTEGER NOT NULL,"
                             " UNIQUE (project_id, scope, key)) STRICT;"
                             "CREATE INDEX cache_used ON cache (used_at, id);";

/* What a job's steps hand over; job.outputs: how many the attempt has that counts; job.made_by: of a job that
 * was handed over the one that did. */
static const char outputs[] = "CREATE TABLE output ("
                              " job_id INTEGER NOT NULL REFERENCES job (id),"
                              " attempt INTEGER NOT NULL,"
                              " name TEXT NOT NULL,"
                              " value TEXT NOT NULL,"
                              " PRIMARY KEY (job_id, attempt, name)) STRICT;"
                              "ALTER TABLE job ADD COLUMN outputs INTEGER NOT NULL DEFAULT 0;"
                              "ALTER TABLE job ADD COLUMN made_by INTEGER NOT NULL DEFAULT 0;";

/* Several jobs may have made a file of one path. keep: how long after the build's end, 0 for ever;
 * expires_at: known from that end on. What has expired is remembered a row for each name; bytes and names
 * that a row was of are garbage until somebody has looked whether others have them (build/artifacts.c). */
static const char named_artifacts[] =
    "CREATE TABLE artifact_named ("
    " id INTEGER PRIMARY KEY,"
    " build_id INTEGER NOT NULL REFERENCES build (id),"
    " job_id INTEGER NOT NULL REFERENCES job (id),"
    " name TEXT NOT NULL,"
    " path TEXT NOT NULL,"
    " size INTEGER NOT NULL,"
    " sha256 TEXT NOT NULL,"
    " mode INTEGER NOT NULL,"
    " keep INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " expires_at INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE (job_id, name, path)) STRICT;"
    "INSERT INTO artifact_named (id, build_id, job_id, name, path, size, sha256, mode, keep, created_at)"
    " SELECT id, build_id, job_id, '', path, size, sha256, 420, 0, created_at FROM artifact;"
    "DROP TABLE artifact;"
    "ALTER TABLE artifact_named RENAME TO artifact;"
    "CREATE INDEX artifact_build ON artifact (build_id, path);"
    "CREATE INDEX artifact_sha256 ON artifact (sha256);"
    "CREATE INDEX artifact_expires ON artifact (build_id, expires_at) WHERE expires_at > 0;"

    "CREATE TABLE artifact_expired ("
    " build_id INTEGER NOT NULL REFERENCES build (id),"
    " job_id INTEGER NOT NULL REFERENCES job (id),"
    " name TEXT NOT NULL,"
    " keep INTEGER NOT NULL,"
    " files INTEGER NOT NULL,"
    " size INTEGER NOT NULL,"
    " removed_at INTEGER NOT NULL,"
    " PRIMARY KEY (job_id, name)) STRICT;"
    "CREATE INDEX artifact_expired_build ON artifact_expired (build_id);"

    "CREATE TABLE artifact_garbage ("
    " id INTEGER PRIMARY KEY,"
    " sha256 TEXT NOT NULL,"
    " folder TEXT NOT NULL,"
    " path TEXT NOT NULL) STRICT;"
    "CREATE INDEX artifact_garbage_sha256 ON artifact_garbage (sha256);"
    "CREATE INDEX artifact_garbage_name ON artifact_garbage (folder, path);";

/* Times that builds of a project start at (a timer of kind 'schedule', its subject the row); message: why
 * none has, the last time. Of a build: the one that started it, by name. */
static const char schedules[] = "CREATE TABLE schedule ("
                                " id INTEGER PRIMARY KEY,"
                                " project_id INTEGER NOT NULL REFERENCES project (id),"
                                " name TEXT NOT NULL,"
                                " cron TEXT NOT NULL,"
                                " timezone TEXT NOT NULL,"
                                " message TEXT NOT NULL DEFAULT '',"
                                " last_at INTEGER NOT NULL DEFAULT 0,"
                                " last_build_id INTEGER NOT NULL DEFAULT 0,"
                                " UNIQUE (project_id, name)) STRICT;"
                                "ALTER TABLE build ADD COLUMN schedule TEXT NOT NULL DEFAULT '';";

/* facts, pull: JSON (build/pull.h). Heads of pull requests that were told when nothing was built of them are
 * known: they are not found as new ones. */
static const char pull_requests[] =
    "CREATE TABLE pull_request ("
    " project_id INTEGER NOT NULL REFERENCES project (id),"
    " number INTEGER NOT NULL,"
    " facts TEXT NOT NULL,"
    " PRIMARY KEY (project_id, number)) STRICT;"
    "ALTER TABLE build ADD COLUMN pull TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE build ADD COLUMN approved_by TEXT NOT NULL DEFAULT '';"
    "INSERT INTO ref (project_id, name, commit_hash, updated_at)"
    " SELECT project_id, ref, new_rev, created_at FROM trigger_event t"
    " WHERE ref LIKE 'refs/pull/%/head' AND kind = 'push' AND id = (SELECT MAX(id) FROM trigger_event n"
    " WHERE n.project_id = t.project_id AND n.ref = t.ref);";

/* of the pushed commit, as its hook has found it; no row: nobody has looked */
static const char signatures[] = "CREATE TABLE signature ("
                                 " build_id INTEGER PRIMARY KEY REFERENCES build (id),"
                                 " status TEXT NOT NULL,"
                                 " key TEXT NOT NULL,"
                                 " signer TEXT NOT NULL) STRICT;";

/* Of its jobs together: how often their rules were used, and how often they may be. A rule begins with
 * {"times":N, */
static const char retry_counts[] =
    "ALTER TABLE build ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE build ADD COLUMN max_retries INTEGER NOT NULL DEFAULT 0;"
    "UPDATE build SET retries = j.retries, max_retries = j.times FROM"
    " (SELECT build_id, SUM(retries) AS retries,"
    "  SUM(CAST(RTRIM(SUBSTR(retry, 10, 3), ',\"') AS INTEGER)) AS times"
    "  FROM job WHERE retry <> '' GROUP BY build_id) AS j WHERE j.build_id = build.id;";

/* A row whose repository was deleted stays for its builds, under another name, without a path; its slug is
 * its own until nothing of it is live. */
static const char deleted_repositories[] =
    "ALTER TABLE project ADD COLUMN deleted_at INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX project_deleted ON project (id) WHERE deleted_at > 0;";

/* No step runs in an attempt that has ended. */
static const char ended_steps[] =
    "UPDATE step SET state = CASE WHEN a.state = 'cancelled' THEN a.state ELSE 'failed' END,"
    " finished_at = a.finished_at FROM attempt AS a WHERE step.state = 'running'"
    " AND a.job_id = step.job_id AND a.number = step.attempt AND a.finished_at > 0;";

/* Of a step that failed: its job may have gone on, or failed for another. */
static const char step_reasons[] = "ALTER TABLE step ADD COLUMN reason TEXT NOT NULL DEFAULT '';";

/* A runner that is gone for ever stays for the jobs that it has run, under another name. */
static const char removed_runners[] = "ALTER TABLE runner ADD COLUMN removed_at INTEGER NOT NULL DEFAULT 0;";

/* What jobs that are handed over later are planned with, as the build's first ones were. */
static const char planned_with[] = "ALTER TABLE build ADD COLUMN inputs TEXT NOT NULL DEFAULT '';"
                                   "ALTER TABLE build ADD COLUMN old_rev TEXT NOT NULL DEFAULT '';";

/* What a repository's flake offers, as the newest build has seen that checked it; JSON. */
static const char flakes[] = "CREATE TABLE flake ("
                             " project_id INTEGER PRIMARY KEY REFERENCES project (id),"
                             " build_id INTEGER NOT NULL,"
                             " offers TEXT NOT NULL) STRICT;";

/* What brought a ref to a commit, and away from it, is found without looking at all pushes to the ref;
 * triggers that are no pushes have no old_rev. */
static const char trigger_ways[] =
    "CREATE INDEX trigger_event_to ON trigger_event (project_id, ref, new_rev) WHERE old_rev <> '';"
    "CREATE INDEX trigger_event_from ON trigger_event (project_id, ref, old_rev) WHERE old_rev <> '';";

/* Those that there are have the sum of another kind, and can be made again. */
static const char cache_sums[] = "DELETE FROM cache; ALTER TABLE cache RENAME COLUMN sha256 TO xxh64;";

const DbMigration store_migrations[] = {
    {.version = 1, .name = "foundation", .sql = foundation},
    {.version = 2, .name = "session parents", .sql = session_parents},
    {.version = 3, .name = "project slugs", .sql = project_slugs},
    {.version = 4, .name = "dispatch and life", .sql = dispatch_and_life},
    {.version = 5, .name = "allowed failures", .sql = allowed_failures},
    {.version = 6, .name = "secrets", .sql = secrets},
    {.version = 7, .name = "pipelines", .sql = pipelines},
    {.version = 8, .name = "notices", .sql = notices},
    {.version = 9, .name = "caches", .sql = caches},
    {.version = 10, .name = "outputs", .sql = outputs},
    {.version = 11, .name = "schedules", .sql = schedules},
    {.version = 12, .name = "named artifacts", .sql = named_artifacts},
    {.version = 13, .name = "pull requests", .sql = pull_requests},
    {.version = 14, .name = "signatures", .sql = signatures},
    {.version = 15, .name = "retry counts", .sql = retry_counts},
    {.version = 16, .name = "deleted repositories", .sql = deleted_repositories},
    {.version = 17, .name = "ended steps", .sql = ended_steps},
    {.version = 18, .name = "step reasons", .sql = step_reasons},
    {.version = 19, .name = "removed runners", .sql = removed_runners},
    {.version = 20, .name = "planned with", .sql = planned_with},
    {.version = 21, .name = "flakes", .sql = flakes},
    {.version = 22, .name = "trigger ways", .sql = trigger_ways},
    {.version = 23, .name = "cache sums", .sql = cache_sums},
};
const size_t store_migration_count = ELEMENTS(store_migrations);
