/* The reference in docs/pipeline.md, written from the tables. */
#include "pipeline/expr.h"
#include "pipeline/pipeline.h"
#include "pipeline/read.h"

#include "base/str.h"

/* Text in a cell of a Markdown table. */
static void add_cell(Buf *out, const char *text) {
    buf_adds(out, " ");
    for (; *text; text++) {
        if (*text == '|')
            buf_addc(out, '\\');
        buf_addc(out, *text);
    }
    buf_adds(out, " |");
}

static void add_type(Buf *out, const LangKey *key) {
    _cleanup_buf_ Buf words = BUF_INIT;

    if (key->words && key->type == LANG_DURATION)
        buf_adds(&words, lang_types[key->type].word);
    for (size_t i = 0; key->words && key->words[i]; i++)
        buf_addf(&words, "%s`%s`", words.len ? " or " : "", key->words[i]);
    if (key->level && key->level->short_key && (key->type == LANG_MAPPING || key->single))
        buf_addf(&words, "%s or mapping", lang_types[lang_key(key->level, key->level->short_key)->type].word);
    if (words.len && key->single)
        buf_adds(&words, ", or a list of them");
    add_cell(out, words.len ? buf_str(&words) : lang_types[key->type].word);
}

static void add_key(Buf *out, const LangKey *key) {
    _cleanup_buf_ Buf name = BUF_INIT, fallback = BUF_INIT;

    buf_addf(&name, "`%s`", key->name);
    if (key->fallback)
        buf_addf(&fallback, "`%s`", key->fallback);
    else
        buf_adds(&fallback, key->required ? "required" : key->unset);
    buf_addc(out, '|');
    add_cell(out, buf_str(&name));
    add_type(out, key);
    add_cell(out, buf_str(&fallback));
    add_cell(out, key->help);
    buf_addc(out, '\n');
}

static void add_word(Buf *out, const ExprWord *word) {
    _cleanup_buf_ Buf name = BUF_INIT;

    buf_addf(&name, "`%s`", word->name);
    buf_addc(out, '|');
    add_cell(out, buf_str(&name));
    add_cell(out, word->help);
    buf_addc(out, '\n');
}

static void add_words(Buf *out, const ExprWord *words) {
    for (; words->name; words++)
        add_word(out, words);
}

static void add_names(Buf *out) {
    ExprWord word;

    for (size_t i = 0; expr_name_word(i, &word); i++)
        add_word(out, &word);
}

void pipeline_reference(Buf *out) {
    for (size_t i = 0; lang_levels[i]; i++) {
        const LangLevel *level = lang_levels[i];

        buf_addf(out, "### %s\n\n", level->heading);
        if (*level->help)
            buf_addf(out, "%s\n\n", level->help);
        buf_adds(out, "| key | value | default | meaning |\n|---|---|---|---|\n");
        for (size_t k = 0; k < level->count; k++)
            add_key(out, &level->keys[k]);
        buf_addc(out, '\n');
    }
    buf_adds(out, "### Expressions: operators and values\n\n| written | meaning |\n|---|---|\n");
    add_words(out, expr_operators);
    buf_adds(out, "\n### Expressions: names and functions\n\n| name | meaning |\n|---|---|\n");
    add_names(out);
    add_words(out, expr_functions);
}
