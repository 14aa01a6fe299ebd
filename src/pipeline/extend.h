/* `templates` and `extends`: a job's mapping over those that it extends. Within the room. */
#pragma once

#include "pipeline/read.h"

/* `templates` of a file. */
typedef struct Templates Templates;

/* Checks that each is a mapping of keys that a job may have. */
Templates *templates_read(LangReader *r, const YamlNode *node);
/* The mapping of `node` with what it extends beneath it: what it says itself wins, mappings are joined key by
 * key, anything else is replaced. What cannot be had is told, and left out: *lacking is true then, and else
 * stays as it is. */
const YamlNode *templates_extend(LangReader *r, const YamlNode *node, bool *lacking);
/* What templates say that no job has extended, and what those extend. */
void templates_check(LangReader *r);
/* Joins two mappings, as templates_extend does. */
YamlNode *templates_join(LangReader *r, const YamlNode *under, const YamlNode *over);
