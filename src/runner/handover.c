#include "runner/handover.h"

#include "base/file.h"
#include "base/str.h"
#include "runner/process.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_MAX_LEN 100
#define SHOWN 40 /* of a line, in messages */

/* ---- the format ---- */

typedef struct Lines {
    const char *at, *end;
    int number; /* of the line that was read last */
} Lines;

static bool next_line(Lines *l, const char **ret, size_t *ret_len) {
    const char *end;

    if (l->at >= l->end)
        return false;
    end = memchr(l->at, '\n', (size_t)(l->end - l->at));
    if (!end)
        end = l->end;
    *ret = l->at;
    *ret_len = (size_t)(end - l->at);
    l->at = end + 1;
    l->number++;
    return true;
}

/* The length of the name that the line begins with; 0: none. */
static size_t name_length(const char *line, size_t len) {
    size_t n = 0;

    while (n < len && (isalnum((unsigned char)line[n]) || line[n] == '_' || (line[n] == '-' && n > 0)))
        n++;
    return n > NAME_MAX_LEN || (n && isdigit((unsigned char)line[0])) ? 0 : n;
}

/* The lines up to one that is the word. */
static int read_block(Lines *l, const char *word, size_t word_len, Buf *out, Err *err) {
    int begin = l->number;
    const char *line;
    size_t len;

    while (next_line(l, &line, &len)) {
        if (len == word_len && memcmp(line, word, len) == 0)
            return 0;
        if (out->len)
            buf_addc(out, '\n');
        buf_add(out, line, len);
    }
    return err_set(err, ERR_INVALID, "line %d: no line \"%.*s\" ends the value that begins here", begin,
                   (int)MIN(word_len, (size_t)SHOWN), word);
}

static size_t put(const void *mem, PlanOutput **outputs, size_t *count, PlanOutput output) {
    PlanOutput *items = *outputs;
    size_t bytes = 0;

    for (size_t i = 0; i < *count; i++)
        if (str_eq(items[i].name, output.name)) {
            items[i].value = output.value;
            output.name = NULL;
        }
    if (output.name)
        mem_append(mem, items, *count, output);
    *outputs = items;
    for (size_t i = 0; i < *count; i++)
        bytes += strlen(items[i].name) + strlen(items[i].value);
    return bytes;
}

static int keep(const char *name, size_t name_len, const Buf *value, int line, const void *mem,
                PlanOutput **outputs, size_t *count, Err *err) {
    PlanOutput output = {.name = mem_strndup(mem, name, name_len), .value = buf_dup(value, mem)};

    if (value->len > HANDOVER_MAX_VALUE)
        return err_set(err, ERR_INVALID, "line %d: \"%s\" has %zu bytes; at most %zu", line, output.name,
                       value->len, HANDOVER_MAX_VALUE);
    if (put(mem, outputs, count, output) > HANDOVER_MAX_BYTES)
        return err_set(err, ERR_INVALID, "line %d: all values of the job together have at most %zu bytes",
                       line, HANDOVER_MAX_BYTES);
    if (*count > HANDOVER_MAX_OUTPUTS)
        return err_set(err, ERR_INVALID, "line %d: more than %d values of one job", line,
                       HANDOVER_MAX_OUTPUTS);
    return 0;
}

static int read_entry(Lines *l, const char *line, size_t len, Buf *value, size_t *ret_name, Err *err) {
    size_t name = name_length(line, len), behind = name + 1;

    *ret_name = name;
    if (name && name < len && line[name] == '=') {
        buf_add(value, line + behind, len - behind);
        return 0;
    }
    if (name && len > name + 2 && line[name] == '<' && line[name + 1] == '<')
        return read_block(l, line + name + 2, len - name - 2, value, err);
    return err_set(err, ERR_INVALID,
                   "line %d: expected NAME=VALUE, or NAME<<WORD and lines up to WORD, got \"%.*s\"",
                   l->number, (int)MIN(len, (size_t)SHOWN), line);
}

int handover_parse(const char *text, size_t len, const void *mem, PlanOutput **outputs, size_t *count,
                   Err *err) {
    Lines l = {.at = text, .end = text + len};
    const char *line;
    size_t line_len;
    int r = 0;

    if (!str_utf8_valid(text, len) || memchr(text, '\0', len))
        return err_set(err, ERR_INVALID, "it is no text in UTF-8");
    while (r == 0 && next_line(&l, &line, &line_len)) {
        _cleanup_buf_ Buf value = BUF_INIT;
        size_t name;
        int number = l.number;

        if (line_len == 0)
            continue;
        r = read_entry(&l, line, line_len, &value, &name, err);
        if (r == 0)
            r = keep(line, name, &value, number, mem, outputs, count, err);
    }
    return r;
}

/* ---- the folder ---- */

/* A file that a step may have left; then it is gone. ERR_NOT_FOUND, err untouched: there is none. */
static int take_file(const JobProcess *j, const char *name, size_t max, Buf *out, Err *err) {
    char path[PATH_MAX];
    _cleanup_close_ int fd = -1;
    struct stat st;
    int r;

    snprintf(path, sizeof(path), "%s/%s", j->run.handover, name);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return -ERR_NOT_FOUND;
    if (fd < 0 && errno == ELOOP)
        return err_set(err, ERR_INVALID, "it is no file");
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, "open it");
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "it is no file");
    r = file_read_open(fd, name, max, out, err);
    unlink(path);
    return r;
}

/* Of all that is handed over: other jobs do not hide what is this one's. */
static int check_secrets(const JobProcess *j, Err *err) {
    for (size_t i = 0; i < j->output_count; i++)
        if (mask_finds(j->masker, j->outputs[i].name) || mask_finds(j->masker, j->outputs[i].value))
            return err_set(err, ERR_INVALID, "\"%s\" holds a secret of the job, which is not handed over",
                           j->outputs[i].name);
    return 0;
}

static void refuse(JobProcess *j, const char *variable, const Err *err) {
    job_say(j, "$%s: %s", variable, err->msg);
    job_fail(j, "invalid", 0, "$%s: %s", variable, err->msg);
}

/* What a line was expected to be shows its beginning only, and half a secret would not be hidden there. */
static int read_outputs(JobProcess *j, const Buf *text, Err *err) {
    int r = handover_parse(buf_str(text), text->len, j->mem, &j->outputs, &j->output_count, err);

    if (r == 0)
        return check_secrets(j, err);
    return str_utf8_valid(buf_str(text), text->len) && mask_finds(j->masker, buf_str(text))
               ? err_set(err, ERR_INVALID, "it holds a secret of the job, and lines that are no NAME=VALUE")
               : r;
}

void handover_outputs(JobProcess *j, size_t step) {
    _cleanup_buf_ Buf text = BUF_INIT;
    Err err;
    int r = take_file(j, HANDOVER_OUTPUT, HANDOVER_MAX_BYTES * 2, &text, &err);

    if (r == -ERR_NOT_FOUND)
        return;
    if (r == 0)
        r = read_outputs(j, &text, &err);
    if (r == 0)
        return;
    j->output_count = 0;
    j->steps[step].state = STEP_FAILED;
    refuse(j, "PELTON_OUTPUT", &err);
}

static bool is_blank(const Buf *text) {
    return text->len == 0 || strspn(buf_str(text), " \t\r\n") == text->len;
}

/* A file with nothing in it hands over nothing: a script has found no jobs to make. */
void handover_pipeline(JobProcess *j) {
    _cleanup_buf_ Buf text = BUF_INIT;
    Err err;
    int r = take_file(j, HANDOVER_PIPELINE, HANDOVER_MAX_PIPELINE, &text, &err);

    if (r == -ERR_NOT_FOUND || (r == 0 && is_blank(&text)))
        return;
    if (r == 0 && (!str_utf8_valid(buf_str(&text), text.len) || memchr(text.data, '\0', text.len)))
        r = err_set(&err, ERR_INVALID, "it is no text in UTF-8");
    else if (r == 0 && mask_finds(j->masker, buf_str(&text)))
        r = err_set(&err, ERR_INVALID, "it holds a secret of the job, which is not handed over");
    if (r == 0)
        j->pipeline = buf_dup(&text, j->mem);
    else
        refuse(j, "PELTON_PIPELINE", &err);
}
