/* `matrix`: one job for each combination of values. Within the room. */
#pragma once

#include "pipeline/read.h"

typedef struct MatrixRow {
    YamlNode *values; /* a mapping that has every name of the matrix; "" where the row has none */
    const char *name; /* "(18, pg)" */
} MatrixRow;

typedef struct Matrix {
    MatrixRow *rows;
    size_t count;
} Matrix;

/* node: what stands behind `matrix`. false: it has mistakes, which are reported. */
_must_check_ bool matrix_read(LangReader *r, const YamlNode *node, Matrix *ret);
