/* The OpenAPI 3.1 document, read out of the tables of routes. */
#include "base/str.h"
#include "http/request.h"

/* Of http_family_default. details is null where no request was read, which has no time either. */
#define ERROR_TYPE                                                                                           \
    "(error:text message:text details:(code:text status:int request_id:text)? suggestions:[text] "           \
    "timestamp?:time)"

static void write_raw(JsonWriter *w, const char *key, const char *json) {
    jw_raw(w, key, json, strlen(json));
}

static void write_parameter(JsonWriter *w, const char *in, const char *name, size_t len, const char *text,
                            size_t text_len) {
    jw_object(w, NULL);
    jw_strn(w, "name", name, len);
    jw_str(w, "in", in);
    jw_bool(w, "required", strcmp(in, "path") == 0);
    if (text_len)
        jw_strn(w, "description", text, text_len);
    write_raw(w, "schema", "{\"type\":\"string\"}");
    jw_end_object(w);
}

/* "offset: first byte; follow: go on" */
static void write_query(JsonWriter *w, const char *query) {
    while (query && *query) {
        size_t len, name;

        query += strspn(query, " ;\n");
        len = strcspn(query, ";");
        name = strcspn(query, ":;");
        if (name) {
            const char *text = query + name + (query[name] == ':');

            text += strspn(text, " ");
            write_parameter(w, "query", query, name, text,
                            text < query + len ? (size_t)(query + len - text) : 0);
        }
        query += len;
    }
}

static void write_path_parameters(JsonWriter *w, const char *path) {
    for (const char *p = strchr(path, '{'); p; p = strchr(p, '{')) {
        size_t len = strcspn(++p, "*}");

        write_parameter(w, "path", p, len, p[len] == '*' ? "the rest of the path" : "",
                        p[len] == '*' ? 20 : 0);
    }
}

/* type NULL: any. */
static void write_media(JsonWriter *w, const char *media, const char *type) {
    jw_object(w, media);
    if (type)
        schema_write(w, "schema", type);
    else
        write_raw(w, "schema", "{}");
    jw_end_object(w);
}

/* A body that is handed on as it comes has no type of its own. */
static void write_body(JsonWriter *w, const HttpRoute *route) {
    const char *bytes = route->request ? "application/json" : "application/octet-stream";

    if (!route->request && !route->accept && !route->body && route->method != HTTP_PUT)
        return;
    jw_object(w, "requestBody");
    jw_bool(w, "required", true);
    jw_object(w, "content");
    jw_object(w, route->accept ? route->accept : bytes);
    write_raw(w, "schema", route->request ? route->request : "{}");
    jw_end_object(w);
    jw_end_object(w);
    jw_end_object(w);
}

static void begin_response(JsonWriter *w, const char *key, const char *description) {
    jw_object(w, key);
    jw_str(w, "description", description);
    jw_object(w, "content");
}

static void end_response(JsonWriter *w) {
    jw_end_object(w);
    jw_end_object(w);
}

static void write_answer(JsonWriter *w, const HttpRoute *route, int status) {
    char code[8];

    snprintf(code, sizeof(code), "%d", status);
    begin_response(w, code, reply_reason(status));
    if (route->answer)
        write_media(w, "application/json", route->answer);
    if (route->type)
        write_media(w, route->type, "text");
    if (route->events)
        write_media(w, "text/event-stream", route->events);
    if (status != 204 && !route->answer && !route->type && !route->events)
        write_media(w, "*/*", NULL);
    end_response(w);
}

static void write_errors(JsonWriter *w, const HttpRoute *route) {
    const HttpFamily *family = route->family ? route->family : &http_family_default;

    if (route->stale) {
        begin_response(w, "409", reply_reason(409));
        write_media(w, "application/json", route->stale);
        end_response(w);
    }
    begin_response(w, "default", family->text ? "an error: JSON for who asks for it" : "an error");
    if (family->text)
        write_media(w, "text/plain", "text");
    write_media(w, "application/json", family->schema ? family->schema : "Error");
    end_response(w);
}

static void write_answers(JsonWriter *w, const HttpRoute *route) {
    jw_object(w, "responses");
    if (route->frames) {
        begin_response(w, "101", "a WebSocket; each of its messages");
        write_media(w, "application/json", route->frames);
        end_response(w);
    }
    if (route->answer || route->type || route->events || !route->frames)
        write_answer(w, route, route->status ? route->status : 200);
    if (route->also)
        write_answer(w, route, route->also);
    write_errors(w, route);
    jw_end_object(w);
}

/* "getApiBuildsIdLogs" */
static void write_id(JsonWriter *w, const char *method, const char *path) {
    _cleanup_buf_ Buf id = BUF_INIT;
    bool upper = true;

    buf_adds(&id, method);
    for (; *path; path++) {
        bool letter = (*path >= 'a' && *path <= 'z') || (*path >= 'A' && *path <= 'Z') ||
                      (*path >= '0' && *path <= '9');

        if (letter)
            buf_addc(&id, upper && *path >= 'a' && *path <= 'z' ? (char)(*path - 32) : *path);
        upper = !letter;
    }
    jw_str(w, "operationId", id.data);
}

static void write_operation(JsonWriter *w, const HttpRoute *route) {
    static const char *const methods[] = {"get", "post", "put", "patch", "delete"};

    jw_object(w, methods[route->method]);
    write_id(w, methods[route->method], route->path);
    if (route->summary)
        jw_str(w, "summary", route->summary);
    if (route->tag) {
        jw_array(w, "tags");
        jw_str(w, NULL, route->tag);
        jw_end_array(w);
    }
    if (route->query || strchr(route->path, '{')) {
        jw_array(w, "parameters");
        write_path_parameters(w, route->path);
        write_query(w, route->query);
        jw_end_array(w);
    }
    write_body(w, route);
    write_answers(w, route);
    write_raw(w, "security", route->roles ? "[{\"bearer\":[]}]" : "[]");
    jw_end_object(w);
}

/* The path without the '*' of "{rest*}". */
static void write_path_key(JsonWriter *w, const char *path) {
    _cleanup_buf_ Buf key = BUF_INIT;

    for (; *path; path++)
        if (*path != '*')
            buf_addc(&key, *path);
    jw_object(w, key.data);
}

static bool path_seen(const HttpRoute *const *tables, const HttpRoute *before) {
    for (; *tables; tables++)
        for (const HttpRoute *r = *tables; r->path; r++) {
            if (r == before)
                return false;
            if (strcmp(r->path, before->path) == 0)
                return true;
        }
    return false;
}

static void write_path(JsonWriter *w, const HttpRoute *const *tables, const char *path) {
    write_path_key(w, path);
    for (; *tables; tables++)
        for (const HttpRoute *r = *tables; r->path; r++)
            if (strcmp(r->path, path) == 0)
                write_operation(w, r);
    jw_end_object(w);
}

static void write_components(JsonWriter *w, const HttpSchema *schemas) {
    jw_object(w, "components");
    jw_object(w, "securitySchemes");
    write_raw(w, "bearer", "{\"type\":\"http\",\"scheme\":\"bearer\"}");
    jw_end_object(w);
    jw_object(w, "schemas");
    schema_write(w, "Error", ERROR_TYPE);
    for (const HttpSchema *s = schemas; s && s->name; s++)
        schema_write(w, s->name, s->type);
    jw_end_object(w);
    jw_end_object(w);
}

static void write_document(const HttpServerOptions *o, Buf *out) {
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    jw_str(&w, "openapi", "3.1.0");
    jw_object(&w, "info");
    jw_str(&w, "title", o->title ? o->title : "API");
    jw_str(&w, "version", o->version ? o->version : "0");
    jw_end_object(&w);
    jw_object(&w, "paths");
    for (const HttpRoute *const *t = o->tables; *t; t++)
        for (const HttpRoute *r = *t; r->path; r++)
            if (!path_seen(o->tables, r))
                write_path(&w, o->tables, r->path);
    jw_end_object(&w);
    write_components(&w, o->schemas);
    jw_end_object(&w);
}

const char *http_server_openapi(HttpServer *s, size_t *ret_len) {
    pthread_mutex_lock(&s->lock);
    if (!s->openapi.data)
        write_document(&s->options, &s->openapi);
    pthread_mutex_unlock(&s->lock);
    *ret_len = s->openapi.len;
    return s->openapi.data;
}

int http_handle_openapi(HttpRequest *req, Err *err) {
    size_t len;
    const char *text = http_server_openapi(req->server, &len);

    (void)err;
    http_reply(req, 200, "application/json", text, len);
    return 0;
}
