#include "support.h"

static int handle(HttpRequest *req, Err *err) {
    (void)err;
    http_reply_empty(req, 204);
    return 0;
}

static const HttpFamily family = {.name = "f", .schema = "Part", .text = true};
static const HttpSchema schemas[] = {
    {"Log", "(id:int at:time? parts:[Part] named?:{text} )"},
    {"Part", "(kind:=a|b-c one:(x:number)? whole:Log? any:any of:object ok:bool? list:[text]?)"},
    {"Either", "[int/text?]"},
    {0},
};

static const HttpRoute table[] = {
    {.method = HTTP_GET,
     .path = "/api/builds/{id}/logs",
     .roles = 1,
     .handle = handle,
     .tag = "builds",
     .summary = "the log of a \"build\"",
     .query = "offset: first byte; follow: go on, until it ends; plain",
     .answer = "Log"},
    {.method = HTTP_DELETE,
     .path = "/api/builds/{id}/logs",
     .handle = handle,
     .status = 204,
     .also = 202,
     .stale = "Part/Error"},
    {.method = HTTP_POST,
     .path = "/api/builds",
     .handle = handle,
     .accept = "application/json",
     .request = "{\"type\":\"object\",\"required\":[\"ref\"]}",
     .status = 202},
    {.method = HTTP_GET, .path = "/files/{name}/{path*}", .family = &family, .handle = handle},
    {.method = HTTP_GET,
     .path = "/follow",
     .handle = handle,
     .type = "text/plain",
     .events = "Part",
     .frames = "(event:=part)/(event:=end|cut)"},
    {.method = HTTP_GET, .path = "/api/openapi.json", .handle = http_handle_openapi},
    {0},
};

static json_t *fetch(HttpServer *s) {
    HttpClient *c = client_of(s);
    _cleanup_buf_ Buf a = BUF_INIT;
    json_t *doc = NULL;
    Err err;

    assert_int_equal(get(c, "/api/openapi.json", &a), 200);
    if (json_read(a.data, a.len, &doc, &err) < 0)
        fail_msg("%s in %s", err.msg, a.data);
    talloc_free(c);
    return doc;
}

static json_t *at(json_t *doc, const char *const *keys) {
    for (; *keys; keys++) {
        json_t *next = json_object_get(doc, *keys);

        if (!next)
            fail_msg("no \"%s\"", *keys);
        doc = next;
    }
    return doc;
}

#define AT(doc, ...) at((doc), (const char *const[]){__VA_ARGS__, NULL})

static void parameter_is(json_t *list, size_t i, const char *name, const char *in, const char *text) {
    json_t *p = json_array_get(list, i);

    assert_string_equal(json_string_value(json_object_get(p, "name")), name);
    assert_string_equal(json_string_value(json_object_get(p, "in")), in);
    assert_int_equal(json_is_true(json_object_get(p, "required")), strcmp(in, "path") == 0);
    if (text)
        assert_string_equal(json_string_value(json_object_get(p, "description")), text);
    else
        assert_null(json_object_get(p, "description"));
}

static void the_document_says_what_the_table_says(void **state) {
    HttpServer *s = server_of((HttpServerOptions){.title = "T", .version = "1.2", .schemas = schemas}, table);
    _cleanup_json_ json_t *doc = fetch(s);
    json_t *op, *list;

    (void)state;
    assert_string_equal(json_string_value(AT(doc, "openapi")), "3.1.0");
    assert_string_equal(json_string_value(AT(doc, "info", "title")), "T");
    assert_int_equal(json_object_size(AT(doc, "paths")), 5);
    assert_int_equal(json_object_size(AT(doc, "paths", "/api/builds/{id}/logs")), 2);
    op = AT(doc, "paths", "/api/builds/{id}/logs", "get");
    assert_string_equal(json_string_value(AT(op, "summary")), "the log of a \"build\"");
    assert_string_equal(json_string_value(AT(op, "operationId")), "getApiBuildsIdLogs");
    assert_string_equal(json_string_value(json_array_get(AT(op, "tags"), 0)), "builds");
    list = AT(op, "parameters");
    assert_int_equal(json_array_size(list), 4);
    parameter_is(list, 0, "id", "path", NULL);
    parameter_is(list, 1, "offset", "query", "first byte");
    parameter_is(list, 2, "follow", "query", "go on, until it ends");
    parameter_is(list, 3, "plain", "query", NULL);
    assert_true(json_is_object(AT(op, "responses", "200", "content", "application/json", "schema")));
    assert_string_equal(
        json_string_value(AT(op, "responses", "default", "content", "application/json", "schema", "$ref")),
        "#/components/schemas/Error");
    assert_int_equal(json_array_size(AT(op, "security")), 1);
    op = AT(doc, "paths", "/api/builds/{id}/logs", "delete");
    assert_string_equal(json_string_value(AT(op, "responses", "204", "description")), "No Content");
    assert_int_equal(json_array_size(AT(op, "security")), 0);
    op = AT(doc, "paths", "/api/builds", "post");
    assert_true(json_is_array(AT(op, "requestBody", "content", "application/json", "schema", "required")));
    assert_true(json_is_object(AT(op, "responses", "202")));
    op = AT(doc, "paths", "/files/{name}/{path}", "get");
    assert_true(json_is_object(AT(op, "responses", "200", "content", "*/*")));
    assert_null(json_object_get(op, "requestBody"));
    list = AT(op, "parameters");
    parameter_is(list, 0, "name", "path", NULL);
    parameter_is(list, 1, "path", "path", "the rest of the path");
    assert_string_equal(json_string_value(AT(doc, "components", "securitySchemes", "bearer", "scheme")),
                        "bearer");
    assert_true(json_is_object(AT(doc, "components", "schemas", "Error", "properties", "suggestions")));
    http_server_stop(s, US_PER_S);
}

static void is(json_t *doc, const char *const *keys, const char *expected) {
    _cleanup_free_ char *text = json_dumps(at(doc, keys), JSON_COMPACT);

    assert_string_equal(text, expected);
}

#define IS(doc, expected, ...) is(doc, (const char *const[]){__VA_ARGS__, NULL}, expected)
#define LOG "#/components/schemas/Log"
#define PART "#/components/schemas/Part"

static void types_become_json_schema(void **state) {
    HttpServer *s = server_of((HttpServerOptions){.schemas = schemas}, table);
    _cleanup_json_ json_t *doc = fetch(s);

    (void)state;
    IS(doc,
       "{\"type\":\"object\",\"required\":[\"id\",\"at\",\"parts\"],\"properties\":{\"id\":{\"type\":"
       "\"integer\"},"
       "\"at\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"},"
       "\"parts\":{\"type\":\"array\",\"items\":{\"$ref\":\"" PART "\"}},"
       "\"named\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}}}",
       "components", "schemas", "Log");
    IS(doc,
       "{\"kind\":{\"enum\":[\"a\",\"b-c\"]},\"one\":{\"type\":[\"object\",\"null\"],\"required\":[\"x\"],"
       "\"properties\":{\"x\":{\"type\":\"number\"}}},"
       "\"whole\":{\"anyOf\":[{\"$ref\":\"" LOG
       "\"},{\"type\":\"null\"}]},\"any\":{},\"of\":{\"type\":\"object\"},"
       "\"ok\":{\"type\":[\"boolean\",\"null\"]},"
       "\"list\":{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"string\"}}}",
       "components", "schemas", "Part", "properties");
    IS(doc,
       "{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"integer\"},{\"type\":[\"string\",\"null\"]}]}}",
       "components", "schemas", "Either");
    http_server_stop(s, US_PER_S);
}

static void every_kind_of_answer_is_told(void **state) {
    HttpServer *s = server_of((HttpServerOptions){.schemas = schemas}, table);
    _cleanup_json_ json_t *doc = fetch(s);
    json_t *answers = AT(doc, "paths", "/api/builds/{id}/logs", "delete", "responses");

    (void)state;
    IS(answers, "{}", "204", "content");
    IS(answers, "{\"*/*\":{\"schema\":{}}}", "202", "content");
    IS(answers,
       "{\"application/json\":{\"schema\":{\"anyOf\":[{\"$ref\":\"" PART
       "\"},{\"$ref\":\"#/components/schemas/Error\"}]}}}",
       "409", "content");
    answers = AT(doc, "paths", "/files/{name}/{path}", "get", "responses");
    IS(answers,
       "{\"text/plain\":{\"schema\":{\"type\":\"string\"}},\"application/json\":{\"schema\":{\"$ref\":\"" PART
       "\"}}}",
       "default", "content");
    answers = AT(doc, "paths", "/follow", "get", "responses");
    IS(answers,
       "{\"text/plain\":{\"schema\":{\"type\":\"string\"}},\"text/"
       "event-stream\":{\"schema\":{\"$ref\":\"" PART "\"}}}",
       "200", "content");
    assert_int_equal(json_array_size(AT(answers, "101", "content", "application/json", "schema", "anyOf")),
                     2);
    http_server_stop(s, US_PER_S);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_document_says_what_the_table_says),
                                       cmocka_unit_test(types_become_json_schema),
                                       cmocka_unit_test(every_kind_of_answer_is_told)};

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
