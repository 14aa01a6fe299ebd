/* What is wrong with the fields of a body as a whole: those that its route does not know. */
#include "http/request.h"

#include "base/str.h"
#include <string.h>

#define SHOWN 12 /* fields in a message */

static int unknown(const char *field, const json_t *known, Err *err) {
    _cleanup_talloc_ const char **names = mem_array(NULL, const char *, json_object_size(known) + 1);
    _cleanup_buf_ Buf all = BUF_INIT;
    const char *name, *near;
    size_t count = 0;
    json_t *schema;

    json_object_foreach ((json_t *)known, name, schema) {
        if (count < SHOWN)
            buf_addf(&all, "%s\"%s\"", count ? ", " : "", name);
        names[count++] = name;
    }
    near = str_nearest(field, names);
    if (near)
        return err_set(err, ERR_INVALID, "field \"%.60s\": unknown; did you mean \"%s\"?", field, near);
    return err_set(err, ERR_INVALID, "field \"%.60s\": unknown; expected %s", field, buf_str(&all));
}

int request_check_fields(const HttpRequest *req, const json_t *body, Err *err) {
    const char *text = req->route ? req->route->request : NULL, *field;
    _cleanup_json_ json_t *schema = NULL;
    json_t *known, *value;

    /* most routes take what they do not know: they need not be read */
    if (!text || !strstr(text, "\"additionalProperties\":false"))
        return 0;
    schema = json_loads(text, 0, NULL);
    if (!json_is_false(json_object_get(schema, "additionalProperties")))
        return 0;
    known = json_object_get(schema, "properties");
    json_object_foreach ((json_t *)body, field, value)
        if (!json_object_get(known, field))
            return unknown(field, known, err);
    return 0;
}
