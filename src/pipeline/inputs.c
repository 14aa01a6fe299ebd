/* `inputs`: what may be given to a build that is started by hand, and its defaults. */
#include "pipeline/read.h"

#include "base/json.h"
#include "base/str.h"

static bool is_choice(const PipeInput *input, const char *text) {
    for (size_t i = 0; i < input->options.count; i++)
        if (str_eq(input->options.items[i]->text, text))
            return true;
    return false;
}

static const char *type_of(const PipeInput *input) {
    return input->type ? input->type->text : input->options.count ? "choice" : "string";
}

/* What is expected instead of the text; NULL: it is fine. */
static const char *wrong(const PipeInput *input, const char *text, const void *mem) {
    const char *type = type_of(input);
    Value v = value_text(text, strlen(text));
    _cleanup_buf_ Buf all = BUF_INIT;
    double number;

    if (str_eq(type, "number"))
        return value_number(&v, &number) ? NULL : "a number";
    if (str_eq(type, "boolean"))
        return str_eq(text, "true") || str_eq(text, "false") ? NULL : "true or false";
    if (!str_eq(type, "choice") || is_choice(input, text))
        return NULL;
    for (size_t i = 0; i < input->options.count; i++)
        buf_addf(&all, "%s%s", i ? ", " : "one of ", input->options.items[i]->text);
    return buf_dup(&all, mem);
}

static void check_input(LangReader *r, const PipeInput *input) {
    const char *name = problems_show(r->problems, input->name->text), *expected;

    if (str_eq(type_of(input), "choice") && input->options.count == 0)
        problems_at(r->problems, input->name, "input \"%s\" is a choice of nothing; expected \"options\"",
                    name);
    else if (!str_eq(type_of(input), "choice") && input->options.count)
        problems_at(r->problems, input->name, "input \"%s\" has \"options\" and is no choice", name);
    else if (input->fallback && (expected = wrong(input, input->fallback->text, r->mem)))
        problems_at(r->problems, input->fallback, "\"default\" of input \"%s\": expected %s, got \"%s\"",
                    name, problems_show(r->problems, expected),
                    problems_show(r->problems, input->fallback->text));
}

/* ---- what is asked for ---- */

static PlanInput plan_input(const PipeInput *input, const void *mem) {
    const char **options = mem_array(mem, const char *, input->options.count + 1);

    for (size_t i = 0; i < input->options.count; i++)
        options[i] = input->options.items[i]->text;
    options[input->options.count] = NULL;
    return (PlanInput){.name = input->name->text,
                       .type = type_of(input),
                       .options = options,
                       .fallback = input->fallback ? input->fallback->text : NULL,
                       .description = input->description ? input->description->text : NULL,
                       .required = input->required};
}

PlanInput *lang_inputs_plan(const LangItems *inputs, const void *mem) {
    PlanInput *all = mem_array(mem, PlanInput, inputs->count);

    for (size_t i = 0; i < inputs->count; i++)
        all[i] = plan_input(&((const PipeInput *)inputs->items)[i], mem);
    return all;
}

/* ---- what was given ---- */

static _printf_(2, 3) void refuse(LangReader *r, const char *fmt, ...) {
    size_t before = r->problems->count;
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    problems_add(r->problems, 0, 0, "%s", text);
    problems_set_kind(r->problems, before, PLAN_PROBLEM_GIVEN);
}

static const char *text_of(const json_t *value, const void *mem) {
    if (json_is_string(value))
        return mem_strdup(mem, json_string_value(value));
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    if (json_is_integer(value))
        return mem_printf(mem, "%lld", (long long)json_integer_value(value));
    return json_is_real(value) ? mem_printf(mem, "%.15g", json_real_value(value)) : NULL;
}

static YamlNode *value_node(LangReader *r, const PipeInput *input, const char *text) {
    YamlNode *node = mem_new(r->mem, YamlNode);
    const char *type = type_of(input);

    *node = *input->name;
    node->text = text;
    node->len = strlen(text);
    node->quoted = !str_eq(type, "number") && !str_eq(type, "boolean");
    return node;
}

/* The value of one input; an empty one when there is none. */
static YamlNode *input_value(LangReader *r, const PipeInput *input, const json_t *given) {
    const json_t *value = given ? json_object_get(given, input->name->text) : NULL;
    const char *text = input->fallback ? input->fallback->text : "", *expected;

    if (value)
        text = text_of(value, r->mem);
    if (!text)
        refuse(r, "input \"%s\": expected a text, a number, true or false", input->name->text);
    else if (value && strlen(text) > LANG_MAX_INPUT)
        refuse(r, "input \"%s\": more than %d bytes", input->name->text, LANG_MAX_INPUT);
    else if (value && (expected = wrong(input, text, r->mem)))
        refuse(r, "input \"%s\": expected %s, got \"%s\"", input->name->text, expected,
               problems_show(r->problems, text));
    else if (!value && input->required && str_eq(r->context->event, "manual"))
        refuse(r, "input \"%s\" is required", input->name->text);
    return value_node(r, input, text ? text : "");
}

static void check_given(LangReader *r, const json_t *given, const LangItems *inputs) {
    const PipeInput *all = inputs->items;
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)given, name, value) {
        size_t i = 0;

        while (i < inputs->count && !str_eq(all[i].name->text, name))
            i++;
        if (i == inputs->count)
            refuse(r, "there is no input \"%s\"%s%s%s", problems_show(r->problems, name),
                   inputs->count ? " (the first is " : " in this pipeline",
                   inputs->count ? problems_show(r->problems, all[0].name->text) : "",
                   inputs->count ? ")" : "");
    }
}

static json_t *read_given(LangReader *r) {
    json_t *given = NULL;
    Err err;

    if (!r->context->inputs)
        return NULL;
    if (json_read(r->context->inputs, strlen(r->context->inputs), &given, &err) < 0)
        refuse(r, "inputs: %s", err.msg);
    else if (!json_is_object(given))
        refuse(r, "inputs: expected a mapping of names to values");
    return given;
}

void lang_inputs_take(LangReader *r, const LangItems *inputs) {
    _cleanup_json_ json_t *given = read_given(r);
    YamlNode *values = mem_new(r->mem, YamlNode);
    const PipeInput *all = inputs->items;

    *values = (YamlNode){.kind = YAML_MAPPING, .count = inputs->count};
    values->pairs = mem_array(r->mem, YamlPair, inputs->count);
    for (size_t i = 0; i < inputs->count; i++) {
        check_input(r, &all[i]);
        values->pairs[i] = (YamlPair){(YamlNode *)all[i].name, input_value(r, &all[i], given)};
    }
    if (given && !r->problems->lacking)
        check_given(r, given, inputs);
    r->scope.inputs = values;
}
