#include "fixture.h"

#include <pthread.h>

static void count_wake(void *arg, int64_t key) {
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void assert_log(Fixture *f, int64_t job, const char *text) {
    char buf[256];
    ssize_t n = blob_log_read(f->blob, job, 1, 0, buf, sizeof(buf), &f->err);

    assert_int_equal(n, strlen(text));
    assert_memory_equal(buf, text, strlen(text));
}

static void repeats_are_skipped_and_gaps_refused(void **state) {
    Fixture *f = *state;
    uint64_t next = 99;

    OK(f, blob_log_append(f->blob, 1234, 1, 0, "hello", 5, &next, &f->err));
    assert_int_equal(next, 5);
    OK(f, blob_log_append(f->blob, 1234, 1, 0, "hello", 5, &next, &f->err));
    assert_int_equal(next, 5);
    OK(f, blob_log_append(f->blob, 1234, 1, 3, "lo\nyou", 6, &next, &f->err));
    assert_int_equal(next, 9);
    OK(f, blob_log_append(f->blob, 1234, 1, 2, "l", 1, &next, &f->err));
    assert_int_equal(next, 9);
    next = 0;
    assert_int_equal(blob_log_append(f->blob, 1234, 1, 10, "x", 1, &next, &f->err), -ERR_CONFLICT);
    assert_int_equal(next, 9);
    assert_log(f, 1234, "hello\nyou");
    assert_int_equal(access(path_of(f, "root/logs/1/1234-1.log"), R_OK), 0);
}

static void what_a_power_loss_left_as_zeros_is_asked_for_again(void **state) {
    Fixture *f = *state;
    uint64_t next;
    int fd;

    OK(f, blob_log_append(f->blob, 7, 1, 0, "begin end", 9, &next, &f->err));
    OK(f, blob_log_append(f->blob, 8, 1, 0, "whole", 5, &next, &f->err));
    assert_true(blob_power_was_off(f->blob));
    OK(f, blob_mended(f->blob, &f->err));
    assert_false(blob_power_was_off(f->blob));
    reopen(f);
    assert_false(blob_power_was_off(f->blob));
    assert_int_equal(unlink(path_of(f, "root/boot")), 0);
    fd = open(path_of(f, "root/logs/0/7-1.log"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "\0\0", 2, 5), 2);
    close(fd);
    reopen(f);
    assert_true(blob_power_was_off(f->blob));
    OK(f, blob_log_mend(f->blob, 7, 1, &f->err));
    OK(f, blob_log_mend(f->blob, 8, 1, &f->err));
    OK(f, blob_log_mend(f->blob, 9, 1, &f->err));
    assert_log(f, 7, "begin");
    assert_log(f, 8, "whole");
    assert_int_equal(blob_log_append(f->blob, 7, 1, 9, "!", 1, &next, &f->err), -ERR_CONFLICT);
    assert_int_equal(next, 5);
    OK(f, blob_log_append(f->blob, 7, 1, 5, " end!", 5, &next, &f->err));
    assert_log(f, 7, "begin end!");
}

static void attempts_and_jobs_have_their_own_logs(void **state) {
    Fixture *f = *state;
    uint64_t next, size = 9;

    OK(f, blob_log_append(f->blob, 1, 2, 0, "two", 3, &next, &f->err));
    OK(f, blob_log_size(f->blob, 1, 1, &size, &f->err));
    assert_int_equal(size, 0);
    OK(f, blob_log_size(f->blob, 1, 2, &size, &f->err));
    assert_int_equal(size, 3);
    OK(f, blob_log_size(f->blob, 2, 1, &size, &f->err));
    assert_int_equal(size, 0);
}

static void a_log_that_is_not_there_is_not_made_by_reading(void **state) {
    Fixture *f = *state;
    uint64_t size;
    char c;
    int fd;

    assert_int_equal(blob_log_read(f->blob, 5, 1, 0, &c, 1, &f->err), -ERR_NOT_FOUND);
    assert_int_equal(blob_log_open(f->blob, 5, 1, &fd, &size, &f->err), -ERR_NOT_FOUND);
    assert_int_equal(blob_log_line(f->blob, 5, 1, 0, &size, &f->err), -ERR_NOT_FOUND);
    assert_int_equal(access(path_of(f, "root/logs/0/5-1.log"), F_OK), -1);
    append(f, 5, "x", 1);
    assert_log(f, 5, "x");
}

static void reading_gives_what_is_there_from_an_offset(void **state) {
    Fixture *f = *state;
    uint64_t size = 0;
    char buf[8] = "";
    int fd;

    append(f, 1, "0123456789", 10);
    assert_int_equal(blob_log_read(f->blob, 1, 1, 4, buf, 3, &f->err), 3);
    assert_memory_equal(buf, "456", 3);
    assert_int_equal(blob_log_read(f->blob, 1, 1, 8, buf, 8, &f->err), 2);
    assert_int_equal(blob_log_read(f->blob, 1, 1, 10, buf, 8, &f->err), 0);
    assert_int_equal(blob_log_read(f->blob, 1, 1, 1000, buf, 8, &f->err), 0);
    OK(f, blob_log_open(f->blob, 1, 1, &fd, &size, &f->err));
    assert_int_equal(size, 10);
    assert_int_equal(read(fd, buf, 4), 4);
    assert_memory_equal(buf, "0123", 4);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(fd);
}

static void what_grows_or_ends_is_published(void **state) {
    Fixture *f = *state;
    atomic_int wakes = 0;
    uint64_t next;
    BusSubscription *s = bus_subscribe(f->bus, BUS_LOG, 3, count_wake, &wakes);

    append(f, 3, "a", 1);
    assert_int_equal(wakes, 1);
    OK(f, blob_log_append(f->blob, 3, 1, 0, "a", 1, &next, &f->err)); /* nothing new */
    assert_int_equal(wakes, 1);
    blob_log_end(f->blob, 3, 1);
    assert_int_equal(wakes, 2);
    append(f, 4, "a", 1);
    assert_int_equal(wakes, 2);
    bus_unsubscribe(s);
}

static void an_ended_log_is_closed_and_can_still_be_read_and_continued(void **state) {
    Fixture *f = *state;

    append(f, 3, "a", 1);
    blob_log_end(f->blob, 3, 1);
    blob_log_end(f->blob, 3, 1);
    assert_log(f, 3, "a");
    append(f, 3, "b", 1);
    assert_log(f, 3, "ab");
}

/* Descriptors of this process that are log files. */
static int open_logs(void) {
    int n = 0;

    for (int fd = 0; fd < 2048; fd++) {
        char link[64], target[256];
        ssize_t len;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        len = readlink(link, target, sizeof(target) - 1);
        if (len < 0)
            continue;
        target[len] = '\0';
        n += str_ends(target, ".log");
    }
    return n;
}

static void many_logs_need_a_bounded_number_of_descriptors(void **state) {
    Fixture *f = *state;

    for (int64_t job = 0; job < 700; job++)
        append(f, job, "first\n", 6);
    assert_in_range(open_logs(), 1, 256);
    for (int64_t job = 0; job < 700; job++)
        append(f, job, "second\n", 7);
    for (int64_t job = 0; job < 700; job++) {
        assert_log(f, job, "first\nsecond\n");
        blob_log_end(f->blob, job, 1);
    }
    assert_int_equal(open_logs(), 0);
}

/* ---- lines ---- */

/* The slow and simple way. */
static uint64_t line_offset(const char *text, size_t len, uint64_t line) {
    size_t at = 0;

    for (; line > 0; line--) {
        while (at < len && text[at] != '\n')
            at++;
        if (at == len)
            return len;
        at++;
    }
    return at;
}

static void assert_lines(Fixture *f, int64_t job, const char *text, size_t len, uint64_t lines) {
    for (uint64_t line = 0; line <= lines + 2; line += 1 + line / 97) {
        uint64_t offset = 1;

        OK(f, blob_log_line(f->blob, job, 1, line, &offset, &f->err));
        assert_int_equal(offset, line_offset(text, len, line));
    }
}

enum { TEXT = 1000000 };

/* Lines of every length from none to some thousand, and one much longer than the index's step. */
static char *make_text(Fixture *f, uint64_t *ret_lines) {
    char *text = mem_array(f, char, TEXT);
    size_t at = 0, n = 0;

    *ret_lines = 0;
    memset(text, 'x', TEXT);
    for (; at < TEXT; n++) {
        text[at] = '\n';
        ++*ret_lines;
        at += n == 500 ? 300000 : 1 + n * 7919 % 1500;
    }
    return text;
}

static void every_line_is_found_in_a_log_that_came_in_pieces(void **state) {
    static const size_t pieces[] = {1, 65535, 65536, 65537, 10, 300000, 131072};
    Fixture *f = *state;
    uint64_t lines;
    char *text = make_text(f, &lines);
    size_t at = 0;

    for (size_t i = 0; at < TEXT; i++) {
        size_t len = MIN(pieces[i % ELEMENTS(pieces)], TEXT - at);

        append(f, 8, text + at, len);
        at += len;
        if (i % 3 == 0)
            assert_lines(f, 8, text, at, 20);
    }
    assert_lines(f, 8, text, TEXT, lines);
    reopen(f);
    assert_lines(f, 8, text, TEXT, lines);
    append(f, 9, text, TEXT);
    assert_lines(f, 9, text, TEXT, lines);
}

static void an_index_has_a_record_each_64_kib(void **state) {
    Fixture *f = *state;
    uint64_t lines, record[2];
    char *text = make_text(f, &lines);
    struct stat st;
    int fd;

    append(f, 1, text, 65535);
    assert_int_equal(stat(path_of(f, "root/logs/0/1-1.idx"), &st), -1);
    append(f, 1, text + 65535, TEXT - 65535);
    assert_int_equal(stat(path_of(f, "root/logs/0/1-1.idx"), &st), 0);
    assert_int_equal(st.st_size, TEXT / 65536 * 16);
    fd = open(path_of(f, "root/logs/0/1-1.idx"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, record, 16, 16), 16);
    close(fd);
    assert_int_equal(record[0], 131072);
    lines = 0;
    for (size_t i = 0; i < 131072; i++)
        lines += text[i] == '\n';
    assert_int_equal(record[1], lines);
}

/* What a crash, or a person, may leave of an index. */
static void a_lost_short_or_damaged_index_is_made_again(void **state) {
    Fixture *f = *state;
    char *idx = path_of(f, "root/logs/0/1-1.idx");
    uint64_t lines;
    char *text = make_text(f, &lines);
    static const char zeros[48];
    struct stat st;
    int fd;

    append(f, 1, text, TEXT);
    for (int kind = 0; kind < 5; kind++) {
        blob_log_end(f->blob, 1, 1);
        fd = open(idx, O_RDWR | O_CLOEXEC);
        if (kind == 0)
            assert_int_equal(unlink(idx), 0);
        else if (kind == 1)
            assert_int_equal(ftruncate(fd, 5 * 16 + 3), 0);
        else if (kind == 2)
            assert_int_equal(pwrite(fd, zeros, 16, 14 * 16), 16); /* the last record */
        else if (kind == 3)
            assert_int_equal(pwrite(fd, zeros, 48, 6 * 16), 48); /* in the middle */
        else
            assert_int_equal(ftruncate(fd, 100 * 16), 0); /* longer than the log allows */
        close(fd);
        assert_lines(f, 1, text, TEXT, lines);
        assert_int_equal(stat(idx, &st), 0);
        assert_int_equal(st.st_size, TEXT / 65536 * 16);
    }
}

static void a_log_that_a_crash_cut_is_continued_where_it_ends(void **state) {
    Fixture *f = *state;
    uint64_t lines, next;
    char *text = make_text(f, &lines);

    append(f, 1, text, TEXT);
    blob_log_end(f->blob, 1, 1);
    assert_int_equal(truncate(path_of(f, "root/logs/0/1-1.log"), 200000), 0);
    assert_int_equal(blob_log_append(f->blob, 1, 1, TEXT, "x", 1, &next, &f->err), -ERR_CONFLICT);
    assert_int_equal(next, 200000);
    OK(f, blob_log_append(f->blob, 1, 1, next, text + next, TEXT - next, &next, &f->err));
    assert_int_equal(next, TEXT);
    assert_lines(f, 1, text, TEXT, lines);
}

static void a_single_line_of_many_mebibytes_is_one_line(void **state) {
    enum { MIB = 1 << 20 };
    Fixture *f = *state;
    char *piece = mem_array(f, char, MIB);
    uint64_t offset;

    memset(piece, 'y', MIB);
    for (int i = 0; i < 32; i++)
        append(f, 1, piece, MIB);
    OK(f, blob_log_line(f->blob, 1, 1, 1, &offset, &f->err));
    assert_int_equal(offset, 32 * MIB);
    append(f, 1, "\nend", 4);
    OK(f, blob_log_line(f->blob, 1, 1, 1, &offset, &f->err));
    assert_int_equal(offset, 32 * MIB + 1);
    OK(f, blob_log_line(f->blob, 1, 1, 2, &offset, &f->err));
    assert_int_equal(offset, 32 * MIB + 4);
}

static int write_text(Fixture *f, BlobLog *log, uint64_t at, const char *text) {
    uint64_t next;

    return blob_log_write(log, at, text, strlen(text), &next, &f->err);
}

static void who_uses_a_log_when_its_attempt_ends_appends_nothing_more(void **state) {
    Fixture *f = *state;
    BlobLog *late = blob_log_use(f->blob, 9, 1), *later = blob_log_use(f->blob, 9, 1);
    uint64_t size;

    OK(f, write_text(f, late, 0, "one\n"));
    OK(f, blob_log_keep(f->blob, 9, 1, &f->err));
    assert_int_equal(write_text(f, late, 4, "two\n"), -ERR_CANCELLED);
    blob_log_unkeep(f->blob, 9, 1); /* it goes on */
    OK(f, write_text(f, late, 4, "two\n"));
    OK(f, blob_log_keep(f->blob, 9, 1, &f->err));
    OK(f, blob_log_keep(f->blob, 9, 1, &f->err)); /* said twice */
    blob_log_unkeep(f->blob, 9, 1);
    assert_int_equal(write_text(f, late, 8, "three\n"), -ERR_CANCELLED);
    blob_log_end(f->blob, 9, 1);
    blob_log_unkeep(f->blob, 9, 1);
    assert_int_equal(write_text(f, late, 8, "three\n"), -ERR_CANCELLED);
    assert_int_equal(write_text(f, later, 8, "three\n"), -ERR_CANCELLED);
    blob_log_leave(late);
    blob_log_leave(later);
    OK(f, blob_sync(f->blob, &f->err));
    OK(f, blob_log_size(f->blob, 9, 1, &size, &f->err));
    assert_int_equal(size, 8);
}

static void an_end_before_the_first_byte_leaves_no_file(void **state) {
    Fixture *f = *state;
    BlobLog *late = blob_log_use(f->blob, 9, 2);
    uint64_t size;
    int fd;

    OK(f, blob_log_keep(f->blob, 9, 2, &f->err));
    blob_log_end(f->blob, 9, 2);
    blob_log_unkeep(f->blob, 9, 2);
    assert_int_equal(write_text(f, late, 0, "late\n"), -ERR_CANCELLED);
    blob_log_leave(late);
    assert_int_equal(blob_log_open(f->blob, 9, 2, &fd, &size, &f->err), -ERR_NOT_FOUND);
}

/* ---- threads ---- */

enum { THREADS = 4, LINES = 400, LINE = 100, OPENED = 3 };

typedef struct Appender {
    Blob *blob;
    int number;
    atomic_int *errors;
} Appender;

/* All append to the same logs, where they end: whoever was quicker has the others try again. (Who appends
 * where another has just appended as much is told so too: that is what a repeated append looks like.) An end
 * closes the log to those who use it then; the next to come opens it again. */
static void *append_lines(void *arg) {
    Appender *a = arg;
    char line[LINE];
    Err err;

    memset(line, 'a' + a->number, LINE - 1);
    line[LINE - 1] = '\n';
    for (int i = 0; i < LINES; i++) {
        int64_t job = i % OPENED;
        uint64_t at = UINT64_MAX, next;
        int r;

        while ((r = blob_log_append(a->blob, job, 1, at, line, LINE, &next, &err)) == -ERR_CONFLICT ||
               r == -ERR_CANCELLED || (r == 0 && next != at + LINE))
            at = r == -ERR_CANCELLED ? at : next;
        if (r < 0)
            atomic_fetch_add(a->errors, 1);
        if (i % 50 == 49)
            blob_log_end(a->blob, job, 1);
    }
    return NULL;
}

static void *read_lines(void *arg) {
    Appender *a = arg;
    char buf[10 * LINE];
    Err err;

    for (uint64_t at = 0; at < (uint64_t)(LINES / OPENED) * LINE;) {
        ssize_t n = blob_log_read(a->blob, 0, 1, at, buf, sizeof(buf), &err);

        if (n == -ERR_NOT_FOUND)
            continue;
        if (n < 0 || n % LINE != 0) { /* a part of an append */
            atomic_fetch_add(a->errors, 1);
            break;
        }
        for (ssize_t i = LINE - 1; i < n; i += LINE)
            if (buf[i] != '\n' || buf[i - 1] != buf[i - LINE + 1])
                atomic_fetch_add(a->errors, 1);
        at += (uint64_t)n;
    }
    return NULL;
}

static void appends_of_many_threads_do_not_mix(void **state) {
    Fixture *f = *state;
    pthread_t threads[THREADS], reader;
    Appender appenders[THREADS];
    atomic_int errors = 0;
    uint64_t offset, size;

    for (int i = 0; i < THREADS; i++) {
        appenders[i] = (Appender){f->blob, i, &errors};
        assert_int_equal(pthread_create(&threads[i], NULL, append_lines, &appenders[i]), 0);
    }
    assert_int_equal(pthread_create(&reader, NULL, read_lines, &appenders[0]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(reader, NULL);
    assert_int_equal(errors, 0);
    for (int64_t job = 0; job < OPENED; job++) {
        OK(f, blob_log_line(f->blob, job, 1, 100, &offset, &f->err));
        assert_int_equal(offset, 100 * LINE);
        OK(f, blob_log_size(f->blob, job, 1, &size, &f->err));
        assert_int_equal(size % LINE, 0);
        OK(f, blob_log_line(f->blob, job, 1, size / LINE, &offset, &f->err));
        assert_int_equal(offset, size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(repeats_are_skipped_and_gaps_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_power_loss_left_as_zeros_is_asked_for_again, setup, teardown),
        cmocka_unit_test_setup_teardown(attempts_and_jobs_have_their_own_logs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_is_not_there_is_not_made_by_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_gives_what_is_there_from_an_offset, setup, teardown),
        cmocka_unit_test_setup_teardown(what_grows_or_ends_is_published, setup, teardown),
        cmocka_unit_test_setup_teardown(an_ended_log_is_closed_and_can_still_be_read_and_continued, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_logs_need_a_bounded_number_of_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(every_line_is_found_in_a_log_that_came_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(an_index_has_a_record_each_64_kib, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_short_or_damaged_index_is_made_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_a_crash_cut_is_continued_where_it_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(a_single_line_of_many_mebibytes_is_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(who_uses_a_log_when_its_attempt_ends_appends_nothing_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_end_before_the_first_byte_leaves_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(appends_of_many_threads_do_not_mix, setup, teardown),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
