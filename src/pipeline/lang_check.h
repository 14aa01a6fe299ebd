/* The checks of levels (LangLevel.check, LangLevel.rules). Within the room. */
#pragma once

#include "pipeline/read.h"

void lang_check_job(LangReader *r, const YamlNode *node, const void *target);
void lang_check_step(LangReader *r, const YamlNode *node, const void *target);
void lang_check_download(LangReader *r, const YamlNode *node, const void *target);

extern const char *const lang_rules_file[], *const lang_rules_on[], *const lang_rules_input[],
                                                                        *const lang_rules_job[],
                                                                            *const lang_rules_step[],
                                                                                *const lang_rules_download[];
