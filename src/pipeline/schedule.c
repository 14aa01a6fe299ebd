/* `on.schedule` and `timezone`: when builds start by themselves. Which of them there are is the plan's to
 * say; that their time has come, the clock's (build/schedule.c). */
#include "pipeline/on.h"
#include "pipeline/read.h"

#include "base/cron.h"
#include "base/str.h"
#include "base/zone.h"

void lang_zone(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    _cleanup_talloc_ Zone *zone = NULL;
    Err err;

    if (node->kind != YAML_SCALAR || yaml_is_null(node) || node->len == 0)
        lang_expected(r, key, node);
    else if (zone_read(node->text, NULL, &zone, &err) < 0)
        problems_at(r->problems, node, "\"%s\": %s", key->name, err.msg);
    else
        *(const YamlNode **)field = node;
}

static void read_time(LangReader *r, const LangKey *key, const YamlPair *pair, PipeSchedule *ret) {
    const char *name = problems_show(r->problems, pair->key->text);
    const YamlNode *time = pair->value;
    size_t at;
    Err err;

    *ret = (PipeSchedule){.name = pair->key, .time = time};
    if (!str_is_name(pair->key->text, LANG_MAX_NAME))
        problems_at(r->problems, pair->key,
                    "bad name \"%s\" of a schedule; expected letters, digits, _, - and dots, at most %d",
                    name, LANG_MAX_NAME);
    else if (time->kind != YAML_SCALAR || yaml_is_null(time))
        problems_at(r->problems, yaml_is_null(time) ? pair->key : time,
                    "schedule \"%s\": expected a time such as \"0 3 * * *\" (minute, hour, day, month, "
                    "weekday) or \"@daily\", got %s",
                    name, yaml_kind_word(time));
    else if (cron_check(time->text, &at, &err) < 0)
        problems_in(r->problems, time, lang_column(r, time, at), "schedule \"%s\": %s", name, err.msg);
}

void lang_times(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    LangItems *times = field;

    if (node->kind != YAML_MAPPING || node->count == 0 || node->count > (size_t)key->max) {
        lang_expected(r, key, node);
        return;
    }
    times->items = mem_array(r->mem, PipeSchedule, node->count);
    times->count = node->count;
    for (size_t i = 0; i < node->count; i++)
        read_time(r, key, &node->pairs[i], (PipeSchedule *)times->items + i);
}

void on_schedules(const PipeFile *file, const void *mem, Plan *plan) {
    const LangItems *times = file->on ? &file->on->schedule : NULL;

    for (size_t i = 0; times && i < times->count; i++) {
        const PipeSchedule *from = (const PipeSchedule *)times->items + i;
        PlanSchedule schedule = {.name = from->name->text,
                                 .cron = from->time->text,
                                 .timezone = file->timezone ? file->timezone->text : "UTC"};

        mem_append(mem, plan->schedules, plan->schedule_count, schedule);
    }
}
