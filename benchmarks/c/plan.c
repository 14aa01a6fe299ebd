/* Plans pipeline files again and again, within one process, each time beside libyaml reading the same text by
 * itself. Prints the medians as JSON, a line a file:
 *   bench-plan ROUNDS FILE…      {"jobs":1000,"plan_ms":12.1,"read_ms":7.0,"libyaml_ms":3.9} */
#include "base/file.h"
#include "base/yaml.h"
#include "pipeline/pipeline.h"
#include <string.h>
#include <time.h>
#include <yaml.h>

typedef struct Text {
    char *bytes;
    size_t len, jobs;
} Text;

static double now_ms(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void fail(const char *what) {
    fprintf(stderr, "bench-plan: %s\n", what);
    exit(1);
}

static void libyaml(Text *text) {
    yaml_parser_t parser;
    yaml_event_type_t type;
    yaml_event_t event;

    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text->bytes, text->len);
    do {
        if (!yaml_parser_parse(&parser, &event))
            fail("libyaml does not read the file");
        type = event.type;
        yaml_event_delete(&event);
    } while (type != YAML_STREAM_END_EVENT);
    yaml_parser_delete(&parser);
}

static void read_only(Text *text) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    int line, column;
    YamlNode *root;
    Err err;

    if (yaml_read(text->bytes, text->len, mem, &root, &line, &column, &err) < 0)
        fail(err.msg);
}

static void whole(Text *text) {
    static const PlanContext context = {.project = "bench",
                                        .branch = "main",
                                        .ref = "refs/heads/main",
                                        .commit = "0123456789abcdef0123456789abcdef01234567",
                                        .event = "push"};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *contents[16] = {text->bytes};
    size_t lens[16] = {text->len};
    PlanProblems *problems;
    Plan *plan;
    Err err;

    if (plan_make(contents, lens, &context, mem, &plan, &problems, &err) < 0)
        fail(err.msg);
    text->jobs = plan->count;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(Text *text, size_t rounds) {
    static void (*const runs[])(Text *) = {whole, read_only, libyaml};
    _cleanup_talloc_ double *took = mem_array(NULL, double, rounds *ELEMENTS(runs));
    double median[ELEMENTS(runs)];

    for (size_t i = 0; i < rounds; i++)
        for (size_t k = 0; k < ELEMENTS(runs); k++) {
            double begin = now_ms();

            runs[k](text);
            took[k * rounds + i] = now_ms() - begin;
        }
    for (size_t k = 0; k < ELEMENTS(runs); k++) {
        qsort(took + k * rounds, rounds, sizeof(double), compare);
        median[k] = took[k * rounds + rounds / 2];
    }
    printf("{\"jobs\":%zu,\"plan_ms\":%.3f,\"read_ms\":%.3f,\"libyaml_ms\":%.3f}\n", text->jobs, median[0],
           median[1], median[2]);
}

int main(int argc, char **argv) {
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;

    if (rounds == 0 || argc < 3)
        fail("usage: bench-plan ROUNDS FILE…");
    for (int i = 2; i < argc; i++) {
        _cleanup_buf_ Buf content = BUF_INIT;
        Text text;
        Err err;

        if (file_read(argv[i], SIZE_MAX, &content, &err) < 0)
            fail(err.msg);
        text = (Text){.bytes = content.data, .len = content.len};
        measure(&text, rounds);
    }
    return 0;
}
