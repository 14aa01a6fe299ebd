/* The types of answers that OpenAPI names (HttpSchema). Every answer of the API's tests is checked against
 * them. */
#include "api/render.h"

#define BUILD_STATE "=queued|running|success|failed|partial|cancelled"
#define EXECUTION_STATE "=pending|running|success|failed|cancelled|timeout"
#define STAGE_STATE EXECUTION_STATE "|skipped"

/* render_build_fields */
#define BUILD                                                                                                \
    "id:int repo:text commit_hash:text commit_short:text branch:text status:" BUILD_STATE " "                \
    "retry_count:int max_retries:int created_at:text started_at:time? finished_at:time? "                    \
    "duration_seconds:number? "
#define ARTIFACT_FILE "path:text size:int sha256:text "
#define PIPELINE "id:text name:text description:text? created_at:time updated_at:time version:int "
#define TIMES "started_at:time? finished_at:time? duration:int? "

/* A log that is followed (logs.c). */
#define LOG_TEXT "job:text attempt:int offset:int text:text"
#define LOG_JOB "name:text status:text attempt:int reason:text message:text"
#define LOG_END "status:text message?:text"

const HttpSchema api_schemas[] = {
    /* builds */
    {"Build", "(" BUILD ")"},
    {"BuildListed", "(" BUILD "reason?:text waiting?:text)"},
    {"BuildWhole",
     "(" BUILD "uuid:text event:text schedule:text? ref:text planner:text reason:text message:text "
     "stop_reason:text concurrency_group:text? held:bool pull_request:PullRequest? untrusted:bool "
     "approved_by:text? rerun_of:int? commit_author:text commit_email:text commit_message:text "
     "gpg_status:text? gpg_key:text? gpg_signer:text? pusher:text url:text artifacts_count:int jobs:[Job])"},
    {"PullRequest", "(number:int source:text target:text title:text author:text fork:bool)"},
    {"Job",
     "(id:int uuid:text name:text kind:text status:=blocked|queued|running|success|failed|cancelled|skipped "
     "reason:text message:text waiting:text executor:text runner:text? attempt:int retries:int "
     "allow_failure:bool copied:bool made_by:text? needs:[text] created_at:time queued_at:time? "
     "started_at:time? finished_at:time? duration_seconds:number? exit_code:int log_size:int outputs:{text} "
     "steps:[Step])"},
    {"Step", "(position:int name:text status:text exit_code:int? started_at:time? finished_at:time? "
             "duration_seconds:number? log_start:int log_end:int)"},
    {"Attempt",
     "(job:text attempt:int status:=running|success|failed|cancelled|lost reason:text message:text "
     "exit_code:int runner:text? started_at:time? finished_at:time? duration_seconds:number? log_size:int "
     "steps:[Step])"},
    {"Outcome", "(id:int? status:text message?:text url?:text)"},
    {"Input", "(name:text type:=string|number|boolean|choice options:[text] default:text? required:bool "
              "description:text?)"},
    {"Event", "(type:=created|updated|completed build:Build reason?:text)"},
    {"LogEvent", "(" LOG_TEXT ")/(" LOG_JOB ")/(" LOG_END ")"},
    {"LogFrame", "(event:=log " LOG_TEXT ")/(event:=job " LOG_JOB ")/(event:=end " LOG_END ")"},
    {"Artifact",
     "(" ARTIFACT_FILE "name:text executable:bool job:text created_at:time expires_at:time? url:text)"},
    {"ArtifactExpired", "(name:text job:text files:int size:int keep:text removed_at:time)"},
    /* repositories */
    {"Repository", "(name:text path:text git_url:text ssh_url:text clone_url:text)"},
    {"RepositoryListed", "(name:text path:text clone_url:text builds_count:int last_build:Build?)"},
    {"RepositoryWhole",
     "(name:text path:text git_url:text ssh_url:text clone_url:text builds_count:int recent_builds:[Build] "
     "schedules:[Schedule] setup_instructions:(new_repo:[text] existing_repo:[text]) flake_metadata:Flake?)"},
    {"Schedule",
     "(name:text cron:text timezone:text next_at:time? last_at:time? last_build:int? message:text)"},
    {"Flake", "(description:text? packages:[text] checks:[text] apps:[text] dev_shells:[text] "
              "nixos_modules:[text])"},
    {"Cache", "(id:int key:text ref:text size:int xxh64:text created_at:time used_at:time?)"},
    {"Secret", "(name:text level:=project|organisation updated_by:text created_at:time updated_at:time)"},
    {"SecretSet", "(name:text level:=project|organisation warning:text?)"},
    {"Deployment",
     "(id:text number:int project:text build_id:int commit_sha:text commit_message?:text commit_author?:text "
     "branch?:text status:=pending|building|deploying|live|failed|cancelled|superseded url?:text "
     "error_message?:text created_at:time started_at?:time completed_at?:time)"},
    /* the server */
    {"Health", "(status:=ok|degraded problems?:[text] service:text version:text)"},
    {"Token", "(id:int name:text role:text status:=active|expired|revoked created_at:time expires_at:time? "
              "revoked_at:time?)"},
    {"Who", "(name:text role:text)"},
    {"Pause", "(by:text reason:text? since:time)"},
    {"Fit", "(executor:text arch:text labels:{text} cpu:int memory:int disk:int queued:int)"},
    {"Runner",
     "(id:int name:text arch:text labels:{text} executors:[text] slots:int cpu:int memory:int disk:int "
     "version:text last_seen:time? status:=idle|busy|away|draining|drained drained_by:text? drained_at:time? "
     "jobs:[int])"},
    /* the runner protocol */
    {"LeasedJob",
     "(id:int uuid:text attempt:int lease:int timeout:int build:int build_url:text name:text "
     "project:(id:int uuid:text name:text) commit:text ref:text branch:text event:text schedule:text "
     "pull_request?:PullRequest untrusted?:bool repository:(url:text path:text?) env:{text} spec:object "
     "needs?:[(job:text state:text outputs:{text})] secrets?:{text})"},
    {"Stop", "(job:int attempt:int reason:text)"},
    {"Stale", "(error:=StaleAttempt message:text)"},
    {"LogGap", "(error:=LogGap message:text next:int)"},
    {"DownloadFile", "(id:int " ARTIFACT_FILE "mode:int)"},
    {"DownloadExpired", "(job:text name:text keep:int removed_at:time)"},
    /* stored pipelines */
    {"PipelineError", "(error:text message:text details:text suggestions:[text] status:int timestamp:time)"},
    {"Pipeline", "(" PIPELINE ")"},
    {"PipelineWhole", "(" PIPELINE "project:text webhook?:(url:text secret:text))"},
    {"ExecutionStarted", "(execution_id:text? message:text)"},
    {"ExecutionListed", "(id:text pipeline_id:text status:" EXECUTION_STATE " " TIMES ")"},
    {"Execution", "(id:text pipeline_id:text status:" EXECUTION_STATE " trigger_info:Trigger stages:[Stage] "
                  "environment:{text} logs:[ExecutionLog] artifacts:[ExecutionArtifact] "
                  "notifications:[Notification] " TIMES
                  "created_at:time updated_at:time version:int build:int message:text)"},
    {"Trigger", "(trigger_type:text triggered_by:text commit_hash:text? branch:text? repository:text? "
                "webhook_payload:object?)"},
    {"Stage", "(name:text status:" STAGE_STATE " steps:[StageStep] " TIMES ")"},
    {"StageStep",
     "(name:text? status:" STAGE_STATE " command:text? exit_code:int? stdout:text stderr:text " TIMES ")"},
    {"ExecutionLog", "(timestamp:time level:=info|error stage:text? step:text? message:text)"},
    {"ExecutionArtifact", "(name:text path:text size:int content_type:text checksum:text created_at:time)"},
    {"Notification", "(target_type:text moment:text status:text attempts:int error:text?)"},
    {0},
};
