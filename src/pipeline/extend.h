/* `templates` and `extends`: a job's mapping over those that it extends. Within the room. */
#pragma once

#include "pipeline/read.h"

/* `templates` of a file. */
typedef struct Templates Templates;

/* Checks that each is a mapping of keys that a job may have. */
Templates *templates_read(LangReader *r, const YamlNode *node);
/* The mapping of `node` with what it extends beneath it: what it says itself wins, mappings are joined key by
 * key, anything else is replaced. NULL: a mistake, which is reported. */
const YamlNode *templates_extend(LangReader *r, const YamlNode *node);
/* What templates say that no job has extended. */
void templates_check(LangReader *r);
/* Joins two mappings, as templates_extend does. */
YamlNode *templates_join(LangReader *r, const YamlNode *under, const YamlNode *over);
