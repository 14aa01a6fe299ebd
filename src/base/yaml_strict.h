/* What YAML 1.2 forbids and libyaml lets through, or reads as something else: found by looking at the text
 * between and within its events. For yaml.c alone. */
#pragma once

#include "base/yaml.h"
#include <yaml.h>

typedef struct YamlStrict {
    const char *text;
    size_t len;
    size_t at, index;   /* where the last event ended: its byte, and its character */
    size_t line, first; /* of the line that it is on: where it begins, and its first byte that is no blank */
    int spaces;         /* that the line begins with */
    struct {
        int indent; /* what stands in it is indented by more; -1: by nothing */
        bool flow;
    } in[YAML_MAX_DEPTH + 2];
    int depth;
} YamlStrict;

void yaml_strict_init(YamlStrict *s, const char *text, size_t len);
/* The events in their order. NULL: nothing is wrong; else what, at the byte *ret_at. */
const char *yaml_strict_event(YamlStrict *s, const yaml_event_t *event, size_t *ret_at);
