#include "base/yaml_strict.h"

#include "base/str.h"

#define COMMENT "a comment begins behind a blank: put one before the #"
#define QUESTION "a text that begins with ? must be in quotes here"
#define INDENT "what goes on here must be indented with more spaces than the line it belongs to"

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool blank_at(const YamlStrict *s, size_t at) {
    return at >= s->len || is_blank(s->text[at]);
}

/* Each line is looked at once, however many events are on it. */
static void begin_line(YamlStrict *s, size_t at) {
    s->line = s->first = at;
    while (s->first < s->len && s->text[s->first] == ' ')
        s->first++;
    s->spaces = (int)(s->first - at);
    while (s->first < s->len && (s->text[s->first] == ' ' || s->text[s->first] == '\t'))
        s->first++;
}

void yaml_strict_init(YamlStrict *s, const char *text, size_t len) {
    *s = (YamlStrict){.text = text, .len = len};
    s->in[0].indent = -1;
    begin_line(s, 0);
}

/* Goes on to the byte of a character; the marks of events only go on. */
static size_t go_to(YamlStrict *s, size_t index) {
    size_t at = s->at, line = s->line;

    for (size_t i = s->index; i < index && at < s->len; i++) {
        if (s->text[at] == '\n')
            line = at + 1;
        for (at++; at < s->len && ((unsigned char)s->text[at] & 0xC0) == 0x80;)
            at++;
    }
    if (line != s->line)
        begin_line(s, line);
    s->at = at;
    s->index = index;
    return at;
}

static const char *check_gap(const YamlStrict *s, size_t from, size_t to, size_t *ret_at) {
    for (size_t at = from; at < to; at++) {
        *ret_at = at;
        if (s->text[at] == '#') {
            if (at > 0 && !is_blank(s->text[at - 1]))
                return COMMENT;
            while (at < to && s->text[at] != '\n')
                at++;
        } else if (s->text[at] == '?' && !blank_at(s, at + 1)) {
            return QUESTION;
        }
    }
    return NULL;
}

/* The lines of a quoted text, behind its first. */
static const char *check_quoted(const YamlStrict *s, size_t from, size_t to, size_t *ret_at) {
    for (size_t at = from; at < to; at++) {
        size_t line = at + 1, spaces = 0;

        if (s->text[at] != '\n')
            continue;
        while (line + spaces < to && s->text[line + spaces] == ' ')
            spaces++;
        *ret_at = line + spaces;
        for (at = line + spaces; at < to && (s->text[at] == ' ' || s->text[at] == '\t');)
            at++;
        if (at < to && s->text[at] != '\n' && s->text[at] != '\r' && (int)spaces <= s->in[s->depth].indent)
            return INDENT;
        at--;
    }
    return NULL;
}

/* The line of a block scalar's | or >, and the empty lines that it begins with. */
static const char *check_block(const YamlStrict *s, size_t from, size_t *ret_at) {
    size_t at = from, most = 0, spaces = 0;
    bool told = false;

    while (at < s->len &&
           !((s->text[at] == '|' || s->text[at] == '>') && (at == from || is_blank(s->text[at - 1]))))
        at++;
    for (at++; at < s->len && strchr("+-0123456789", s->text[at]); at++)
        told |= s->text[at] >= '0';
    *ret_at = at;
    if (at < s->len && s->text[at] == '#')
        return COMMENT;
    while (at < s->len && s->text[at] != '\n')
        at++;
    for (; at < s->len && s->text[at] == '\n' && !told; most = MAX(most, spaces)) {
        for (spaces = 0, at++; at < s->len && s->text[at] == ' '; at++)
            spaces++;
        if (at >= s->len || s->text[at] != '\n')
            break;
    }
    *ret_at = at;
    return at < s->len && s->text[at] != '\t' && (int)spaces > s->in[s->depth].indent && most > spaces
               ? "an empty line before this one has more spaces than it"
               : NULL;
}

static const char *check_scalar(const YamlStrict *s, const yaml_event_t *event, size_t from, size_t to,
                                size_t *ret_at) {
    *ret_at = from;
    switch (event->data.scalar.style) {
    case YAML_PLAIN_SCALAR_STYLE:
        return event->data.scalar.length == 1 && event->data.scalar.value[0] == '-'
                   ? "a - alone must be in quotes here"
                   : NULL;
    case YAML_LITERAL_SCALAR_STYLE:
    case YAML_FOLDED_SCALAR_STYLE:
        return check_block(s, from, ret_at);
    default:
        return check_quoted(s, from, to, ret_at);
    }
}

/* libyaml ends the name of an anchor where it knows no letter, and reads on from there. */
static const char *check_anchor(const YamlStrict *s, char sign, const yaml_char_t *name, size_t from,
                                size_t *ret_at) {
    size_t len = name ? strlen((const char *)name) : 0;

    for (size_t at = from; name && at + len < s->len; at++) {
        if (s->text[at] != sign || memcmp(s->text + at + 1, name, len) != 0)
            continue;
        *ret_at = at + 1 + len;
        return blank_at(s, *ret_at) || strchr(",]}", s->text[*ret_at])
                   ? NULL
                   : "a character that no name of an anchor has";
    }
    return NULL;
}

static void enter(YamlStrict *s, bool flow, bool named, const yaml_mark_t *at) {
    int indent = s->in[s->depth].indent;

    if (s->depth > YAML_MAX_DEPTH)
        return;
    /* with an anchor or a tag the event begins there, and the block itself further on */
    if (!flow && !named && !s->in[s->depth].flow)
        indent = (int)at->column;
    s->depth++;
    s->in[s->depth].indent = indent;
    s->in[s->depth].flow = flow || s->in[s->depth - 1].flow;
}

static const yaml_char_t *anchor_of(const yaml_event_t *event) {
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

static const char *check_node(const YamlStrict *s, const yaml_event_t *event, size_t from, size_t to,
                              size_t *ret_at) {
    const char *wrong = NULL;

    *ret_at = from;
    if (event->type == YAML_MAPPING_START_EVENT && from < s->len && s->text[from] == '?' &&
        !blank_at(s, from + 1))
        return QUESTION;
    if (event->type == YAML_ALIAS_EVENT)
        return check_anchor(s, '*', event->data.alias.anchor, from, ret_at);
    wrong = check_anchor(s, '&', anchor_of(event), from, ret_at);
    return wrong || event->type != YAML_SCALAR_EVENT ? wrong : check_scalar(s, event, from, to, ret_at);
}

/* Within [ ] and { }, what begins a line is indented by more than the block around it. */
static bool is_indented(const YamlStrict *s, const yaml_event_t *event, size_t from) {
    return !s->in[s->depth].flow || from != s->first || s->spaces > s->in[s->depth].indent ||
           event->end_mark.index == event->start_mark.index;
}

static bool is_node(const yaml_event_t *event) {
    return event->type == YAML_SCALAR_EVENT || event->type == YAML_ALIAS_EVENT ||
           event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT;
}

static void follow(YamlStrict *s, const yaml_event_t *event) {
    if (event->type == YAML_SEQUENCE_START_EVENT)
        enter(s, event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE,
              event->data.sequence_start.anchor || event->data.sequence_start.tag, &event->start_mark);
    else if (event->type == YAML_MAPPING_START_EVENT)
        enter(s, event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE,
              event->data.mapping_start.anchor || event->data.mapping_start.tag, &event->start_mark);
    else if ((event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT) &&
             s->depth > 0)
        s->depth--;
}

const char *yaml_strict_event(YamlStrict *s, const yaml_event_t *event, size_t *ret_at) {
    size_t before = s->at, from, to;
    const char *wrong;
    bool indented;

    if (event->start_mark.index < s->index || event->end_mark.index < event->start_mark.index) {
        follow(s, event);
        return NULL;
    }
    from = go_to(s, event->start_mark.index);
    wrong = check_gap(s, before, from, ret_at);
    indented = !is_node(event) || is_indented(s, event, from);
    to = go_to(s, event->end_mark.index);
    if (!wrong && !indented) {
        *ret_at = from;
        wrong = INDENT;
    }
    if (!wrong && is_node(event))
        wrong = check_node(s, event, from, to, ret_at);
    follow(s, event);
    return wrong;
}
