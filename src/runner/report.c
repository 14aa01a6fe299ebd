#include "runner/report.h"

#include "base/str.h"
#include "runner/process.h"

#include "base/json.h"

static const char *const state_words[] = {
    [STEP_RUNNING] = "running", [STEP_SUCCESS] = "success",     [STEP_FAILED] = "failed",
    [STEP_SKIPPED] = "skipped", [STEP_CANCELLED] = "cancelled",
};

static void write_step(JsonWriter *w, const JobProcess *j, size_t i) {
    const StepResult *step = &j->steps[i];

    jw_object(w, NULL);
    jw_int(w, "position", (int64_t)i);
    jw_str(w, "name", j->spec->steps[i].name);
    jw_str(w, "state", state_words[step->state]);
    if (step->state == STEP_SUCCESS || step->state == STEP_FAILED)
        jw_int(w, "exit_code", step->exit_code);
    if (step->state == STEP_FAILED && step->reason)
        jw_str(w, "reason", step->reason);
    if (step->started_at)
        jw_int(w, "started_at", step->started_at);
    if (step->finished_at)
        jw_int(w, "finished_at", step->finished_at);
    jw_int(w, "log_start", step->log_start);
    jw_int(w, "log_end", step->state == STEP_RUNNING ? uploader_size(j->uploader) : step->log_end);
    jw_end_object(w);
}

static void write_handover(JsonWriter *w, const JobProcess *j) {
    if (j->output_count) {
        jw_object(w, "outputs");
        for (size_t i = 0; i < j->output_count; i++)
            jw_str(w, j->outputs[i].name, j->outputs[i].value);
        jw_end_object(w);
    }
    if (j->pipeline && str_eq(j->state, "success"))
        jw_str(w, "pipeline", j->pipeline);
}

void report_write(const JobProcess *j, bool final, Buf *out) {
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    jw_int(&w, "attempt", j->attempt);
    jw_str(&w, "state", final ? j->state : "running");
    if (final) {
        if (j->reason)
            jw_str(&w, "reason", j->reason);
        if (j->message[0])
            jw_str(&w, "message", j->message);
        jw_int(&w, "exit_code", j->exit_code);
        jw_int(&w, "log_size", uploader_size(j->uploader));
        write_handover(&w, j);
    }
    jw_array(&w, "steps");
    for (size_t i = 0; j->spec && i < j->spec->step_count; i++)
        if (j->steps[i].state != STEP_WAITING)
            write_step(&w, j, i);
    jw_end_array(&w);
    jw_end_object(&w);
}

void report_send(JobProcess *j) {
    _cleanup_buf_ Buf text = BUF_INIT;

    report_write(j, false, &text);
    uploader_report(j->uploader, text.data, text.len);
}

/* ---- a log that was cut ---- */

#define CUT "the log is cut: "

static void clamp(json_t *object, const char *key, int64_t most) {
    json_t *value = json_object_get(object, key);

    if (json_is_integer(value) && json_integer_value(value) > most)
        json_object_set_new(object, key, json_integer(most));
}

/* A success fails for it; any other end says it besides. */
static void tell_end(json_t *report, const char *state, const char *why) {
    const char *before = json_string_value(json_object_get(report, "message"));
    _cleanup_talloc_ char *message = NULL;

    if (before && strstr(before, CUT))
        return;
    if (str_eq(state, "success")) {
        json_object_set_new(report, "state", json_string("failed"));
        json_object_set_new(report, "reason", json_string("infrastructure"));
    }
    message = mem_printf(NULL, "%s%s" CUT "%s", before ? before : "", str_empty(before) ? "" : "; ", why);
    json_object_set_new(report, "message", json_string(message));
}

char *report_cut(char *text, int64_t kept, const char *why) {
    _cleanup_json_ json_t *report = json_loads(text, 0, NULL);
    const char *state = json_string_value(json_object_get(report, "state"));
    json_t *step;
    char *cut;
    size_t i;

    if (!report)
        return text;
    json_array_foreach (json_object_get(report, "steps"), i, step) {
        clamp(step, "log_start", kept);
        clamp(step, "log_end", kept);
    }
    clamp(report, "log_size", kept);
    if (!str_eq(state, "running"))
        tell_end(report, state, why);
    cut = json_dumps(report, JSON_COMPACT);
    if (!cut)
        return text;
    free(text);
    return cut;
}

int64_t report_log_size(const char *text) {
    _cleanup_json_ json_t *report = json_loads(text, 0, NULL);
    json_t *size = json_object_get(report, "log_size");

    return json_is_integer(size) ? json_integer_value(size) : -1;
}
