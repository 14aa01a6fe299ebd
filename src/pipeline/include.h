/* `include`: other files of the commit, beneath the pipeline file. Within the room. */
#pragma once

#include "pipeline/extend.h"

/* The mapping of the pipeline file with those that it includes beneath it, joined as a job is with its
 * templates; the node itself when it includes none. NULL: a mistake, which is reported. */
const YamlNode *include_all(LangReader *r, const YamlNode *root);
