/* `include`: other files of the commit, beneath the pipeline file. Within the room. */
#pragma once

#include "pipeline/extend.h"

/* The mapping of the pipeline file with those that it includes beneath it, joined as a job is with its
 * templates; the node itself when it includes none. A file that cannot be had is reported, left out, and
 * makes the problems `lacking`. */
const YamlNode *include_all(LangReader *r, const YamlNode *root);
/* The mapping of a part with what it goes on with of the build's pipeline file beneath it. */
const YamlNode *include_beneath(LangReader *r, const YamlNode *root, const PlanFile *whole);
