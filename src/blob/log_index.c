#include "base/file.h"
#include "blob/inside.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* ---- counting ---- */

typedef unsigned char Block __attribute__((vector_size(16)));

static inline Block block_at(const unsigned char *p) {
    Block block;

    memcpy(&block, p, sizeof(block));
    return block;
}

static uint64_t sum(Block counts) {
    uint64_t n = 0;

    for (size_t i = 0; i < sizeof(Block); i++)
        n += counts[i];
    return n;
}

/* A comparison gives 0xff where it holds: subtracting it counts by one in each lane, 255 times at most. Four
 * counters, since one would wait for itself. */
uint64_t log_count_lines(const void *data, size_t len) {
    enum { STRIDE = 4 * sizeof(Block) };
    const unsigned char *p = data;
    const Block feed = (Block){0} + '\n';
    uint64_t n = 0;

    while (len >= STRIDE) {
        size_t rounds = MIN(len / STRIDE, (size_t)255);
        Block a = {0}, b = {0}, c = {0}, d = {0};

        len -= rounds * STRIDE;
        for (; rounds > 0; rounds--, p += STRIDE) {
            a -= (Block)(block_at(p) == feed);
            b -= (Block)(block_at(p + sizeof(Block)) == feed);
            c -= (Block)(block_at(p + 2 * sizeof(Block)) == feed);
            d -= (Block)(block_at(p + 3 * sizeof(Block)) == feed);
        }
        n += sum(a) + sum(b) + sum(c) + sum(d);
    }
    for (; len > 0; len--)
        n += *p++ == '\n';
    return n;
}

/* ---- the file ---- */

typedef struct Record {
    uint64_t offset, lines; /* little-endian */
} Record;

_Static_assert(sizeof(Record) == INDEX_RECORD, "a record has no padding");

static void start_again(LogIndex *index, uint64_t records, uint64_t lines) {
    index->records = records;
    index->counted = records * INDEX_STEP;
    index->lines = lines;
}

static int open_file(Log *log, int flags, Err *err) {
    char name[LOG_NAME_MAX];

    log_name(name, log->job, log->attempt, "idx");
    return file_open_beneath(log->blob->logs, name, flags | O_RDWR | O_NOCTTY | O_NONBLOCK, 0644,
                             &log->index.fd, err);
}

static bool read_record(const LogIndex *index, uint64_t k, uint64_t *ret_lines) {
    Record record;

    if (pread(index->fd, &record, sizeof(record), (off_t)(k * sizeof(record))) != sizeof(record) ||
        le64toh(record.offset) != (k + 1) * INDEX_STEP || le64toh(record.lines) > (k + 1) * INDEX_STEP)
        return false;
    *ret_lines = le64toh(record.lines);
    return true;
}

/* What the file has, as far as the log goes; from the beginning when its last record is not as it should be.
 */
static int load(Log *log, Err *err) {
    LogIndex *index = &log->index;
    uint64_t records, lines;
    struct stat st;
    int r;

    r = open_file(log, 0, err);
    if (r == -ERR_NOT_FOUND) {
        index->loaded = true;
        return 0;
    }
    if (r < 0)
        return r;
    if (fstat(index->fd, &st) < 0)
        return err_errno(err, "index of a log");
    records = MIN((uint64_t)st.st_size / INDEX_RECORD, atomic_load(&log->size) / INDEX_STEP);
    if (records > 0 && read_record(index, records - 1, &lines))
        start_again(index, records, lines);
    if (ftruncate(index->fd, (off_t)(index->records * INDEX_RECORD)) < 0)
        return err_errno(err, "index of a log");
    index->loaded = true;
    return 0;
}

static int write_records(Log *log, const Record *records, size_t count, Err *err) {
    LogIndex *index = &log->index;
    size_t len = count * sizeof(*records);
    int r;

    if (index->fd < 0) {
        r = open_file(log, O_CREAT, err);
        if (r < 0)
            return r;
    }
    if (pwrite(index->fd, records, len, (off_t)(index->records * INDEX_RECORD)) != (ssize_t)len)
        return err_errno(err, "index of a log");
    index->records += count;
    return 0;
}

/* After a failure the state is that of the last record that was written. */
static void fall_back(LogIndex *index) {
    uint64_t lines = 0;

    if (index->records > 0 && !read_record(index, index->records - 1, &lines))
        index->records = 0;
    start_again(index, index->records, lines);
}

/* Counts the next bytes of the log, noting each step that is passed. */
static int take_in(Log *log, const char *data, size_t len, Err *err) {
    LogIndex *index = &log->index;
    Record due[64];
    size_t count = 0;
    int r = 0;

    while (len > 0 && r == 0) {
        size_t piece = MIN(len, (size_t)(INDEX_STEP - index->counted % INDEX_STEP));

        index->lines += log_count_lines(data, piece);
        index->counted += piece;
        data += piece;
        len -= piece;
        if (index->counted % INDEX_STEP == 0)
            due[count++] = (Record){htole64(index->counted), htole64(index->lines)};
        if (count == ELEMENTS(due) || (count > 0 && len == 0)) {
            r = write_records(log, due, count, err);
            count = 0;
        }
    }
    if (r < 0)
        fall_back(index);
    return r;
}

void log_index_add(Log *log, uint64_t at, const void *data, size_t len) {
    Err ignored;

    if (!log->index.loaded && load(log, &ignored) < 0)
        return;
    if (log->index.counted == at && take_in(log, data, len, &ignored) < 0)
        return; /* log_index_find completes it, or says why it cannot */
}

/* Reads what has not been counted yet: at most a step of a log whose index is whole. */
static int complete(Log *log, Err *err) {
    LogIndex *index = &log->index;
    uint64_t size = atomic_load(&log->size);
    _cleanup_free_ char *buf = NULL;
    int r = 0;

    if (!index->loaded)
        r = load(log, err);
    if (r < 0 || index->counted >= size)
        return r;
    buf = malloc(4 * INDEX_STEP);
    if (!buf)
        abort();
    while (index->counted < size && r == 0) {
        size_t want = (size_t)MIN(size - index->counted, 4 * INDEX_STEP);
        ssize_t n = pread(atomic_load(&log->fd), buf, want, (off_t)index->counted);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read log");
        if (n == 0)
            return err_set(err, ERR_IO, "log is shorter than it was");
        r = take_in(log, buf, (size_t)n, err);
    }
    return r;
}

void log_index_close(LogIndex *index) {
    mem_close_p(&index->fd);
}

/* ---- looking up ---- */

/* The last record before the line's beginning: *ret_records are before it, *ret_lines lines. False when a
 * record is not as it should be. */
static bool search(const LogIndex *index, uint64_t line, uint64_t *ret_records, uint64_t *ret_lines) {
    uint64_t low = 0, high = index->records, lines = 0;

    *ret_lines = 0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (!read_record(index, middle, &lines))
            return false;
        if (lines < line) {
            low = middle + 1;
            *ret_lines = lines;
        } else {
            high = middle;
        }
    }
    *ret_records = low;
    return true;
}

/* The place behind the n-th line feed (n > 0) of the step that begins at offset. */
static int scan(Log *log, uint64_t offset, uint64_t n, uint64_t *ret_offset, Err *err) {
    uint64_t size = atomic_load(&log->size);
    size_t want = (size_t)MIN(size - offset, INDEX_STEP), got = 0;
    _cleanup_free_ char *buf = malloc(INDEX_STEP);
    const char *at = buf;

    if (!buf)
        abort();
    /* NOLINTBEGIN(clang-analyzer-unix.Malloc): buf is freed when the scope ends */
    while (got < want) {
        ssize_t k = pread(atomic_load(&log->fd), buf + got, want - got, (off_t)(offset + got));

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_errno(err, "read log");
        if (k == 0)
            break;
        got += (size_t)k;
    }
    for (; n > 0; n--) {
        at = memchr(at, '\n', got - (size_t)(at - buf));
        if (!at) {
            *ret_offset = size;
            return 0;
        }
        at++;
    }
    /* NOLINTEND(clang-analyzer-unix.Malloc) */
    *ret_offset = offset + (uint64_t)(at - buf);
    return 0;
}

int log_index_find(Log *log, uint64_t line, uint64_t *ret_offset, Err *err) {
    LogIndex *index = &log->index;
    uint64_t records = 0, lines = 0;
    int r;

    if (line == 0) {
        *ret_offset = 0;
        return 0;
    }
    r = complete(log, err);
    if (r == 0 && !search(index, line, &records, &lines)) { /* damaged: made again from the log */
        start_again(index, 0, 0);
        r = complete(log, err);
        if (r == 0 && !search(index, line, &records, &lines))
            r = err_set(err, ERR_IO, "the index of a log cannot be read");
    }
    if (r < 0)
        return r;
    if (line > index->lines) {
        *ret_offset = atomic_load(&log->size);
        return 0;
    }
    return scan(log, records * INDEX_STEP, line - lines, ret_offset, err);
}
