/* What a job asks beside what a runner has. */
#include "build/dispatch.h"

#include "base/str.h"

#define GIB (1024.0 * 1024 * 1024)

static bool has_word(const char *const *list, const char *word) {
    for (; list && *list; list++)
        if (str_eq(*list, word))
            return true;
    return false;
}

static const char *join(const char *const *list, const char *none, const void *mem) {
    const char *text = "";

    for (; list && *list; list++)
        text = mem_printf(mem, "%s%s%s", text, *text ? ", " : "", *list);
    return *text ? text : none;
}

static const char *bytes(int64_t value, const void *mem) {
    return mem_printf(mem, "%.4g GiB", (double)value / GIB);
}

static const char *cpus(int64_t value, const void *mem) {
    return mem_printf(mem, "%.4g", (double)value / 1000);
}

static bool enough(int64_t asked, int64_t there) {
    return asked <= 0 || there == 0 || asked <= there;
}

static bool executor_met(const FitFacts *f, const RunnerOffer *o) {
    return has_word(o->executors, f->fit.executor);
}
static const char *executor_asked(const FitFacts *f, const void *mem) {
    return mem_printf(mem, "executor %s", f->fit.executor);
}
static const char *executor_has(const RunnerOffer *o, const void *mem) {
    return join(o->executors, "no executor", mem);
}

static bool arch_met(const FitFacts *f, const RunnerOffer *o) {
    return str_empty(f->fit.arch) || str_eq(f->fit.arch, o->arch);
}
static const char *arch_asked(const FitFacts *f, const void *mem) {
    return str_empty(f->fit.arch) ? NULL : mem_printf(mem, "arch %s", f->fit.arch);
}
static const char *arch_has(const RunnerOffer *o, const void *mem) {
    return mem_strdup(mem, o->arch);
}

static bool labels_met(const FitFacts *f, const RunnerOffer *o) {
    for (const char *const *label = f->labels; *label; label++)
        if (!has_word(o->labels, *label))
            return false;
    return true;
}
static const char *labels_asked(const FitFacts *f, const void *mem) {
    return f->labels[0] ? mem_printf(mem, "label %s", join(f->labels, "", mem)) : NULL;
}
static const char *labels_has(const RunnerOffer *o, const void *mem) {
    return join(o->labels, "no label", mem);
}

static bool cpu_met(const FitFacts *f, const RunnerOffer *o) {
    return enough(f->fit.cpu, o->cpu);
}
static const char *cpu_asked(const FitFacts *f, const void *mem) {
    return f->fit.cpu ? mem_printf(mem, "%s cpus", cpus(f->fit.cpu, mem)) : NULL;
}
static const char *cpu_has(const RunnerOffer *o, const void *mem) {
    return mem_printf(mem, "%s cpus", cpus(o->cpu, mem));
}

static bool memory_met(const FitFacts *f, const RunnerOffer *o) {
    return enough(f->fit.memory, o->memory);
}
static const char *memory_asked(const FitFacts *f, const void *mem) {
    return f->fit.memory ? mem_printf(mem, "%s of memory", bytes(f->fit.memory, mem)) : NULL;
}
static const char *memory_has(const RunnerOffer *o, const void *mem) {
    return mem_printf(mem, "%s of memory", bytes(o->memory, mem));
}

static bool disk_met(const FitFacts *f, const RunnerOffer *o) {
    return enough(f->fit.disk, o->disk);
}
static const char *disk_asked(const FitFacts *f, const void *mem) {
    return f->fit.disk ? mem_printf(mem, "%s of disk", bytes(f->fit.disk, mem)) : NULL;
}
static const char *disk_has(const RunnerOffer *o, const void *mem) {
    return mem_printf(mem, "%s of disk", bytes(o->disk, mem));
}

const FitAspect fit_aspects[] = {
    {.met = executor_met, .asked = executor_asked, .has = executor_has},
    {.met = arch_met, .asked = arch_asked, .has = arch_has},
    {.met = labels_met, .asked = labels_asked, .has = labels_has},
    {.met = cpu_met, .asked = cpu_asked, .has = cpu_has},
    {.met = memory_met, .asked = memory_asked, .has = memory_has},
    {.met = disk_met, .asked = disk_asked, .has = disk_has},
};
const size_t fit_aspect_count = ELEMENTS(fit_aspects);

bool fit_match(const FitFacts *fit, const RunnerOffer *offer) {
    for (size_t i = 0; i < fit_aspect_count; i++)
        if (!fit_aspects[i].met(fit, offer))
            return false;
    return true;
}
