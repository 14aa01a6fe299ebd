/* Notifications of the stages dialect: read with the file, stored with the plan. */
#include "pipeline/stages.h"

#include "base/str.h"
#include "http/mail.h"

#define NOTICES_MAX 100

static const char *const moments[][2] = {
    {"on_start", "start"}, {"on_success", "success"}, {"on_failure", "failure"}};

/* ---- what a target must say ---- */

/* A text of its config, which must be there; NULL after a problem. */
static const YamlNode *needed(StagesReader *r, const YamlNode *target, const char *key) {
    const YamlNode *config = stages_value(target, "config"), *node = stages_value(config, key);

    if (!node || (node->kind == YAML_SCALAR && !*node->text))
        problems_at(&r->problems, node ? node : target, "notification \"%s\": missing \"%s\" in its config",
                    problems_show(&r->problems, stages_text(target, "target_type")), key);
    else if (node->kind != YAML_SCALAR)
        problems_at(&r->problems, node, "\"%s\": expected a text, got %s", key, yaml_kind_word(node));
    else
        return node;
    return NULL;
}

static void check_email(StagesReader *r, const YamlNode *target) {
    const YamlNode *email = needed(r, target, "email");

    if (email && !stages_is_open(email->text) && !mail_is_to(email->text))
        problems_at(&r->problems, email,
                    "\"email\": expected an address for mail, or several with commas between them, got "
                    "\"%s\"",
                    problems_show(&r->problems, email->text));
}

static void check_webhook(StagesReader *r, const YamlNode *target) {
    const YamlNode *url = needed(r, target, "webhook_url");

    if (url && !stages_is_open(url->text) && !str_is_web_url(url->text))
        problems_at(&r->problems, url, "\"webhook_url\": expected an http:// or https:// address, got \"%s\"",
                    problems_show(&r->problems, url->text));
}

/* By its webhook, or as an application that is told where to. */
static void check_slack(StagesReader *r, const YamlNode *target) {
    const YamlNode *config = stages_value(target, "config");

    if (stages_value(config, "webhook_url") || !stages_value(config, "slack_token"))
        check_webhook(r, target);
    else if (needed(r, target, "slack_token"))
        needed(r, target, "slack_channel");
}

static const struct {
    const char *type, *kind;
    void (*check)(StagesReader *r, const YamlNode *target); /* NULL: nothing is needed */
} targets[] = {
    {"email", "email", check_email}, {"slack", "slack", check_slack}, {"webhook", "webhook", check_webhook},
    {"git_hub", "status", NULL},     {"github", "status", NULL},
};

/* ---- reading ---- */

static void read_target(StagesReader *r, const YamlNode *node, const char *moment, StagesFile *file) {
    const char *type = stages_text(node, "target_type");
    StagesNotice notice = {.moment = moment};
    size_t i = 0;

    if (node->kind != YAML_MAPPING) {
        problems_at(&r->problems, node, "a notification: expected a mapping with \"target_type\"");
        return;
    }
    notice.config = stages_mapping(r, node, "config");
    while (i < ELEMENTS(targets) && strcasecmp(targets[i].type, type) != 0)
        i++;
    if (i == ELEMENTS(targets)) {
        const YamlNode *at = stages_value(node, "target_type");

        problems_at(&r->problems, at ? at : node,
                    "unknown target type \"%s\"; expected email, slack, webhook or git_hub",
                    problems_show(&r->problems, type));
        return;
    }
    if (targets[i].check && (notice.config || !stages_value(node, "config")))
        targets[i].check(r, node);
    notice.kind = targets[i].kind;
    mem_append(r->mem, file->notices, file->notice_count, notice);
}

void stages_notices_read(StagesReader *r, const YamlNode *root, StagesFile *file) {
    const YamlNode *all = stages_mapping(r, root, "notifications");

    for (size_t i = 0; i < ELEMENTS(moments); i++) {
        const YamlNode *list = stages_list(r, all, moments[i][0], NOTICES_MAX);

        for (size_t k = 0; list && k < list->count; k++)
            read_target(r, list->items[k], moments[i][1], file);
    }
}

/* ---- what is stored ---- */

const char *stages_notice_config(const StagesNotice *notice, const StagesEnv *env, const void *mem) {
    static const char *const from_env[][2] = {{"GITHUB_TOKEN", "github_token"},
                                              {"GITHUB_API_URL", "github_api_url"}};
    static const char *const keys[] = {"email",         "webhook_url",  "slack_channel", "slack_token",
                                       "github_status", "github_token", "repository"};
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    for (size_t i = 0; i < ELEMENTS(keys); i++) {
        const char *text = stages_text(notice->config, keys[i]);

        if (*text)
            jw_str(&w, keys[i], stages_expand(env, text, mem, NULL));
    }
    for (size_t i = 0; i < ELEMENTS(from_env); i++) {
        const char *value = stages_env_get(env, from_env[i][0]);

        if (!str_empty(value) && !*stages_text(notice->config, from_env[i][1]) &&
            str_eq(notice->kind, "status"))
            jw_str(&w, from_env[i][1], value);
    }
    jw_end_object(&w);
    return buf_dup(&out, mem);
}
