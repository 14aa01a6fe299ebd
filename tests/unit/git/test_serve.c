#include "serving.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void commit_and_push(Fixture *f) {
    run(f, "cd work; echo hi > a; git add a; git commit -qm one; git push -q origin main");
}

static void install_program(Fixture *f, const char *program) {
    char *path = mem_printf(f, "%s/pelton", f->dir);

    assert_ok(f, file_write_atomic(path, program, strlen(program), 0755, &f->err));
    assert_ok(f, git_hook_install(f->repo, path, f->dir, &f->err));
}

static void assert_no_children(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void pushes_and_clones_by_protocol_version_2(void **state) {
    Fixture *f = *state;

    commit_and_push(f);
    assert_string_equal(run(f, "git clone -q %shello.git copy; cat copy/a", serving.url), "hi");
    assert_true(serving.v2 > 0);
    assert_non_null(strstr(run(f, "GIT_TRACE_PACKET=1 git ls-remote %shello.git 2>&1", serving.url),
                           "ls-remote< version 2"));
    assert_string_equal(run(f, "git -c protocol.version=0 clone -q %shello.git old; cat old/a", serving.url),
                        "hi");
    assert_string_equal(run(f, "git clone -q --depth 1 %shello.git shallow; cat shallow/a", serving.url),
                        "hi");
    assert_string_equal(
        run(f, "git clone -q --filter=blob:none %shello.git partial; cat partial/a", serving.url), "hi");
    assert_no_children();
}

static void an_empty_repository_can_be_cloned(void **state) {
    Fixture *f = *state;

    assert_non_null(
        strstr(run(f, "git clone %shello.git copy 2>&1; git -C copy symbolic-ref HEAD", serving.url),
               "refs/heads/main"));
}

static void forced_pushes_deletes_and_tags_go_through(void **state) {
    Fixture *f = *state;

    commit_and_push(f);
    run(f, "cd work; git commit -q --amend -m two; git push -q -f origin main main:side/\xc3\xbc; git tag -a "
           "-m v v1; git push -q origin v1;"
           "git push -q origin :side/\xc3\xbc");
    assert_string_equal(
        run(f, "git -C \"$REPO\" for-each-ref --format='%%(refname) %%(*subject)%%(subject)'"),
        "refs/heads/main two\nrefs/tags/v1 twov");
}

static void the_hook_speaks_to_the_pusher_and_knows_who_it_is(void **state) {
    Fixture *f = *state;
    char *said;

    install_program(f, "#!/bin/sh\necho \"build 7 for $PELTON_PUSHER $REMOTE_USER\"\npwd\ncat\n");
    said = run(f, "cd work; git commit -q --allow-empty -m x; git push origin main main:b 2>&1");
    assert_non_null(strstr(said, "remote: build 7 for ada ada"));
    assert_non_null(strstr(said, mem_printf(f, "remote: %s", f->repo)));
    assert_non_null(strstr(said, "refs/heads/b"));
}

static void a_failing_hook_is_heard_and_the_push_stays(void **state) {
    Fixture *f = *state;

    install_program(f, "#!/bin/sh\necho 'no server' >&2\nexit 5\n");
    assert_non_null(strstr(run(f, "cd work; git commit -q --allow-empty -m x; git push origin main 2>&1"),
                           "remote: no server"));
    assert_string_equal(run(f, "git -C \"$REPO\" log --format=%%s"), "x");
}

static void a_refused_push_says_why(void **state) {
    Fixture *f = *state;
    int status = 0;
    char *said;

    said = run_status(f, &status,
                      "cd work; head -c 3000000 /dev/urandom > big; b=$(git hash-object -w big); t=$(printf "
                      "'100644 blob %s\\t.git\\n' $b | git mktree); c=$(git "
                      "commit-tree -m x $t); git push origin $c:refs/heads/bad 2>&1");
    assert_int_not_equal(status, 0);
    assert_non_null(strstr(said, "hasDotgit"));
}

static void gzipped_requests_are_understood(void **state) {
    Fixture *f = *state;

    run(f, "cd work; for i in $(seq 100); do git commit -q --allow-empty -m $i; git branch b$i; git commit "
           "-q --amend --allow-empty -m x; done; git push -q "
           "--all origin");
    run(f, "git clone -q %shello.git copy", serving.url);
    assert_true(serving.gzipped > 0);
    assert_string_equal(run(f, "git -C copy branch -r | grep -c origin/b"), "100");
}

static void chunked_requests_are_understood(void **state) {
    Fixture *f = *state;

    run(f, "cd work; head -c 300000 /dev/urandom > a; git add a; git commit -qm x; git -c "
           "http.postBuffer=65536 push -q origin main");
    assert_true(serving.chunked > 0);
    assert_string_equal(run(f, "git -C \"$REPO\" cat-file -s main:a"), "300000");
}

static long peak_kb(void) {
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void a_large_pack_goes_both_ways_in_little_memory(void **state) {
    Fixture *f = *state;
    long before;

    commit_and_push(f); /* what is allocated once */
    run(f, "git clone -q %shello.git small", serving.url);
    before = peak_kb();
    run(f, "cd work; head -c 50000000 /dev/urandom > big; git add big; git -c core.compression=0 commit -qm "
           "big; git push -q origin main");
    run(f, "git clone -q %shello.git copy; cmp work/big copy/big", serving.url);
    assert_in_range(peak_kb() - before, 0, 20000);
}

static void what_is_not_gits_is_not_found(void **state) {
    static const char *const bad[] = {
        "GET /git/hello.git/HEAD",
        "GET /git/hello.git/config",
        "GET /git/hello.git/objects/info/packs",
        "GET /git/hello.git/info/refs",
        "GET /git/hello.git/info/refs?service=git-upload-archive",
        "GET /git/hello.git/info/refs?service=git-upload-pack&x=1",
        "GET /git/hello.git/git-upload-pack",
        "POST /git/hello.git/info/refs?service=git-upload-pack",
        "POST /git/hello.git/git-upload-archive",
        "GET /git/none.git/info/refs?service=git-upload-pack",
        "GET /git/hello.git/%2e%2e/info/refs?service=git-upload-pack",
    };
    Fixture *f = *state;

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        char *answer = ask_raw(
            f, mem_printf(f, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                          bad[i]));

        if (!str_after(answer, "HTTP/1.1 404 "))
            fail_msg("%s: %.100s", bad[i], answer);
    }
}

static void http_backends_own_refusals_are_passed_on(void **state) {
    Fixture *f = *state;
    char *answer = ask_raw(f, "POST /git/hello.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Type: "
                              "text/plain\r\nContent-Length: "
                              "4\r\nConnection: close\r\n\r\n0000");

    assert_non_null(str_after(answer, "HTTP/1.1 415 "));
    run(f, "git -C \"$REPO\" config http.receivepack false");
    answer = ask_raw(f, "GET /git/hello.git/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: "
                        "x\r\nConnection: close\r\n\r\n");
    assert_non_null(str_after(answer, "HTTP/1.1 403 "));
    assert_no_children();
}

static void a_push_cut_off_in_its_body_ends_git_and_changes_nothing(void **state) {
    Fixture *f = *state;
    _cleanup_close_ int fd = -1;
    const char *head = "POST /git/hello.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Type: "
                       "application/x-git-receive-pack-request\r\nContent-Length: "
                       "1000000\r\n\r\n0094";

    commit_and_push(f);
    fd = dial();
    assert_ok(f, file_write_all(fd, head, strlen(head), &f->err));
    assert_ok(f, file_write_all(fd, "abc", 3, &f->err));
    wait_for(&serving.started, 3);
    mem_close(TAKE_FD(fd));
    wait_for(&serving.handled, 3);
    assert_no_children();
    assert_string_equal(run(f, "find \"$REPO\" -name '*.lock' -o -name 'tmp_*' -o -name 'incoming*'"), "");
}

static void a_fetch_whose_client_leaves_ends_git(void **state) {
    Fixture *f = *state;
    _cleanup_close_ int fd = -1;
    char *want, *request, some[1000];

    run(f, "cd work; head -c 20000000 /dev/urandom > big; git add big; git -c core.compression=0 commit -qm "
           "big; git push -q ../hello.git main");
    want = mem_printf(f, "0032want %s\n00000009done\n", run(f, "git -C work rev-parse HEAD"));
    request = mem_printf(f,
                         "POST /git/hello.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Type: "
                         "application/x-git-upload-pack-request\r\nContent-Length: "
                         "%zu\r\n\r\n%s",
                         strlen(want), want);
    fd = dial();
    assert_ok(f, file_write_all(fd, request, strlen(request), &f->err));
    assert_true(read(fd, some, sizeof(some)) > 0);
    assert_non_null(str_after(some, "HTTP/1.1 200 "));
    mem_close(TAKE_FD(fd));
    wait_for(&serving.handled, 1);
    assert_no_children();
}

static void a_push_whose_client_leaves_at_the_end_is_finished_with_its_hook(void **state) {
    Fixture *f = *state;
    _cleanup_close_ int fd = -1;
    char *line, *request;

    commit_and_push(f);
    run(f, "mkfifo started release; git -C \"$REPO\" branch gone main");
    install_program(f, "#!/bin/sh\ncd \"$4\"\necho > started\ncat release\nfor i in $(seq 1000); do echo $i; "
                       "done\ncat > done\n");
    line = mem_printf(
        f, "%s 0000000000000000000000000000000000000000 refs/heads/gone%c report-status side-band-64k",
        run(f, "git -C work rev-parse HEAD"), 1);
    line = mem_printf(f, "%04zx%s0000", strlen(line) + 4, line);
    request = mem_printf(f,
                         "POST /git/hello.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Type: "
                         "application/x-git-receive-pack-request\r\nContent-Length: "
                         "%zu\r\n\r\n",
                         strlen(line));
    *strchr(line, 1) = '\0';
    fd = dial();
    assert_ok(f, file_write_all(fd, request, strlen(request), &f->err));
    assert_ok(
        f, file_write_all(fd, line, strlen(line) + 1 + strlen(" report-status side-band-64k0000"), &f->err));
    run(f, "cat started");
    mem_close(TAKE_FD(fd));
    run(f, "echo > release");
    wait_for(&serving.handled, 3);
    assert_no_children();
    assert_non_null(strstr(run(f, "cat done"), "refs/heads/gone"));
    assert_string_equal(run(f, "git -C \"$REPO\" branch --list gone"), "");
}

/* ---- a git that behaves badly ---- */

static char *ask_instead(Fixture *f, const char *program, const char *request) {
    char *before = mem_strdup(f, getenv("PATH")), *answer;

    assert_ok(f, file_mkdirs(mem_printf(f, "%s/bin", f->dir), 0755, &f->err));
    assert_ok(
        f, file_write_atomic(mem_printf(f, "%s/bin/git", f->dir), program, strlen(program), 0755, &f->err));
    setenv("PATH", mem_printf(f, "%s/bin:%s", f->dir, before), 1);
    answer = ask_raw(f, request);
    setenv("PATH", before, 1);
    wait_for(&serving.handled, 1);
    assert_no_children();
    return answer;
}

static char *post_of(Fixture *f, size_t size) {
    char *body = mem_array(f, char, size + 1);

    return mem_printf(f,
                      "POST /git/hello.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: "
                      "%zu\r\nConnection: close\r\n\r\n%s",
                      size, (char *)memset(body, 'x', size));
}

static void an_answer_before_the_end_of_the_request_waits_for_it(void **state) {
    Fixture *f = *state;
    char *answer = ask_instead(f,
                               "#!/bin/sh\nprintf 'Content-Type: a/b\\r\\n\\r\\n'\nhead -c 600000 /dev/zero "
                               "| tr '\\0' y\necho\nwc -c\n",
                               post_of(f, 3000000));

    assert_non_null(str_after(answer, "HTTP/1.1 200 "));
    assert_non_null(strstr(answer, "\r\nContent-Type: a/b\r\n"));
    assert_non_null(strstr(answer, "3000000\n"));
}

static void an_endless_answer_before_the_end_of_the_request_is_an_error(void **state) {
    Fixture *f = *state;

    assert_non_null(
        str_after(ask_instead(f, "#!/bin/sh\ncat /dev/zero\n", post_of(f, 3000000)), "HTTP/1.1 500 "));
}

static void the_rest_of_a_body_that_is_not_wanted_is_read_before_the_answer(void **state) {
    Fixture *f = *state;
    char *answer = ask_instead(
        f, "#!/bin/sh\nprintf 'Status: 403 No\\nContent-Type: text/plain\\nX-Why: because\\n\\nno'\n",
        post_of(f, 5000000));

    assert_non_null(str_after(answer, "HTTP/1.1 403 "));
    assert_non_null(strstr(answer, "\r\nX-Why: because\r\n"));
    assert_non_null(strstr(answer, "\r\nno"));
}

static void no_answer_is_an_error(void **state) {
    Fixture *f = *state;

    assert_non_null(
        str_after(ask_instead(f, "#!/bin/sh\necho oops >&2\nexit 1\n", post_of(f, 10)), "HTTP/1.1 500 "));
}

static void a_bad_answer_is_an_error(void **state) {
    Fixture *f = *state;

    assert_non_null(str_after(ask_instead(f, "#!/bin/sh\nprintf 'what is this\\n\\n'\n", post_of(f, 10)),
                              "HTTP/1.1 500 "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SERVED(pushes_and_clones_by_protocol_version_2),
        SERVED(an_empty_repository_can_be_cloned),
        SERVED(forced_pushes_deletes_and_tags_go_through),
        SERVED(the_hook_speaks_to_the_pusher_and_knows_who_it_is),
        SERVED(a_failing_hook_is_heard_and_the_push_stays),
        SERVED(a_refused_push_says_why),
        SERVED(gzipped_requests_are_understood),
        SERVED(chunked_requests_are_understood),
        SERVED(a_large_pack_goes_both_ways_in_little_memory),
        SERVED(what_is_not_gits_is_not_found),
        SERVED(http_backends_own_refusals_are_passed_on),
        SERVED(a_push_cut_off_in_its_body_ends_git_and_changes_nothing),
        SERVED(a_fetch_whose_client_leaves_ends_git),
        SERVED(a_push_whose_client_leaves_at_the_end_is_finished_with_its_hook),
        SERVED(an_answer_before_the_end_of_the_request_waits_for_it),
        SERVED(an_endless_answer_before_the_end_of_the_request_is_an_error),
        SERVED(the_rest_of_a_body_that_is_not_wanted_is_read_before_the_answer),
        SERVED(no_answer_is_an_error),
        SERVED(a_bad_answer_is_an_error),
    };

    return RUN_TESTS(tests);
}
