#include "fixture.h"

#include "git/cache.h"
#include <pthread.h>

static const char *const paths[] = {".pelton.yml", "Makefile", "ci/deep.yml", "link", "out",
                                    "sub",         "ci",       "none/such",   NULL};

static char *make_commit(Fixture *f) {
    return run(f, "cd work; mkdir ci; echo 'jobs:' > .pelton.yml; printf 'a\\000b' > Makefile; : > "
                  "ci/deep.yml; ln -s ci/deep.yml link; ln -s "
                  "/etc/passwd out; git add .; git update-index --add --cacheinfo "
                  "160000,0123456789012345678901234567890123456789,sub;"
                  "git commit -q -m 'First line\nstill subject\n\nBody\n'; git push -q origin main; git "
                  "rev-parse HEAD");
}

static void check_files(const GitFile *files) {
    assert_string_equal(files[0].path, ".pelton.yml");
    assert_string_equal(files[0].content, "jobs:\n");
    assert_int_equal(files[1].len, 3);
    assert_memory_equal(files[1].content, "a\0b", 4);
    assert_int_equal(files[2].len, 0);
    assert_string_equal(files[2].content, "");
    assert_string_equal(files[3].content, "");
    for (size_t i = 4; i < 8; i++) {
        assert_string_equal(files[i].path, paths[i]);
        assert_null(files[i].content);
    }
}

static void a_commit_and_its_files_are_read_at_once(void **state) {
    Fixture *f = *state;
    char *hash = make_commit(f);
    GitCommit *commit;
    GitFile *files;

    assert_ok(f, git_commit_read(f->repo, hash, paths, 1000, f, &commit, &files, &f->err));
    assert_string_equal(commit->hash, hash);
    assert_string_equal(commit->author, "Ada Lovelace");
    assert_string_equal(commit->email, "ada@example.org");
    assert_string_equal(commit->subject, "First line still subject");
    assert_string_equal(commit->message, "First line\nstill subject\n\nBody\n");
    check_files(files);
}

static void what_was_read_is_kept_and_comes_without_git(void **state) {
    Fixture *f = *state;
    char *hash = make_commit(f), *path = mem_strdup(f, getenv("PATH"));
    const char *const more[] = {"Makefile", "other", NULL}, *const all[] = {"other", "link", ".pelton.yml",
                                                                            NULL};
    GitCommit *commit;
    GitFile *files;

    assert_ok(f, git_commit_read(f->repo, hash, paths, 1000, f, &commit, &files, &f->err));
    assert_ok(f, git_commit_read(f->repo, hash, more, 1000, f, &commit, &files, &f->err));
    setenv("PATH", "/nonexistent", 1);
    assert_ok(f, git_commit_read(f->repo, hash, paths, 1000, f, &commit, &files, &f->err));
    check_files(files);
    assert_ok(f, git_commit_read(f->repo, hash, all, 1000, f, &commit, &files, &f->err));
    assert_null(files[0].content);
    assert_string_equal(files[2].content, "jobs:\n");
    assert_ok(f, git_commit_read(f->repo, hash, NULL, 1000, f, &commit, NULL, &f->err));
    git_forget(f->repo);
    assert_err(ERR_INTERNAL, git_commit_read(f->repo, hash, paths, 1000, f, &commit, &files, &f->err));
    setenv("PATH", path, 1);
}

static void what_is_read_ahead_comes_without_git(void **state) {
    Fixture *f = *state;
    char *first = run(f, "cd work; git commit -q --allow-empty -m zero; git rev-parse HEAD");
    char *last = make_commit(f), *path = mem_strdup(f, getenv("PATH"));
    const char *const commits[] = {first, "0123456789012345678901234567890123456789", "no hash", last};
    const char *const asked[] = {"Makefile", "none", NULL};
    GitCommit *commit;
    GitFile *files;

    git_commits_ahead(f->repo, commits, ELEMENTS(commits), asked, 1000);
    setenv("PATH", "/nonexistent", 1);
    assert_ok(f, git_commit_read(f->repo, first, asked, 1000, f, &commit, &files, &f->err));
    assert_null(files[1].content);
    /* one that is not there ends it: the others are read when they are asked for */
    assert_err(ERR_INTERNAL, git_commit_read(f->repo, last, asked, 1000, f, &commit, &files, &f->err));
    setenv("PATH", path, 1);
    git_commits_ahead(f->repo, (const char *const[]){last, last}, 2, asked, 1000);
    setenv("PATH", "/nonexistent", 1);
    assert_ok(f, git_commit_read(f->repo, last, asked, 1000, f, &commit, &files, &f->err));
    assert_int_equal(files[0].len, 3);
    setenv("PATH", path, 1);
}

static void a_file_over_the_limit_is_named(void **state) {
    Fixture *f = *state;
    char *hash = run(f, "cd work; head -c 3000000 /dev/zero > .pelton.yml; git add .; git commit -qm big; "
                        "git push -q origin main;"
                        " git rev-parse HEAD");
    GitCommit *commit;
    GitFile *files;

    assert_err(ERR_TOO_LARGE, git_commit_read(f->repo, hash, paths, 1000, f, &commit, &files, &f->err));
    assert_non_null(strstr(f->err.msg, ".pelton.yml: 3000000 bytes"));
    assert_ok(f, git_commit_read(f->repo, hash, paths, 3000000, f, &commit, &files, &f->err));
    assert_int_equal(files[0].len, 3000000);
    assert_err(ERR_TOO_LARGE, git_commit_read(f->repo, hash, paths, 2999999, f, &commit, &files, &f->err));
}

static void the_limit_holds_for_what_is_kept_too(void **state) {
    Fixture *f = *state;
    char *hash = make_commit(f);
    GitCommit *commit;
    GitFile *files;

    assert_ok(f, git_commit_read(f->repo, hash, paths, 6, f, &commit, &files, &f->err));
    assert_err(ERR_TOO_LARGE, git_commit_read(f->repo, hash, paths, 5, f, &commit, &files, &f->err));
}

static void what_is_no_commit_is_not_found(void **state) {
    Fixture *f = *state;
    char *hash = make_commit(f), *tree = run(f, "git -C work rev-parse 'HEAD^{tree}'");
    char *tag = run(f, "cd work; git tag -a -m t t; git push -q origin t; git rev-parse t");
    GitCommit *commit;
    GitFile *files;

    assert_err(ERR_NOT_FOUND, git_commit_read(f->repo, "0123456789012345678901234567890123456789", paths,
                                              1000, f, &commit, &files, &f->err));
    assert_err(ERR_NOT_FOUND, git_commit_read(f->repo, tree, paths, 1000, f, &commit, &files, &f->err));
    assert_err(ERR_NOT_FOUND, git_commit_read(f->repo, tag, paths, 1000, f, &commit, &files, &f->err));
    assert_err(ERR_NOT_FOUND,
               git_commit_read("/nonexistent.git", hash, paths, 1000, f, &commit, &files, &f->err));
    assert_err(ERR_INVALID, git_commit_read(f->repo, "main", paths, 1000, f, &commit, &files, &f->err));
    assert_err(ERR_INVALID, git_commit_read(f->repo, "--help\n", paths, 1000, f, &commit, &files, &f->err));
}

static void a_path_that_could_say_more_than_one_thing_is_refused(void **state) {
    static const char *const bad[] = {"../x", "/etc/passwd", "a\nHEAD", ""};
    Fixture *f = *state;
    char *hash = make_commit(f);
    GitCommit *commit;
    GitFile *files;

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        const char *const asked[] = {bad[i], NULL};

        assert_err(ERR_INVALID, git_commit_read(f->repo, hash, asked, 1000, f, &commit, &files, &f->err));
    }
}

static void bytes_that_are_no_text_are_made_text(void **state) {
    Fixture *f = *state;
    char *hash = run(f, "cd work; t=$(git mktree </dev/null); c=$(printf 'tree %%s\\nauthor J\\366rg \\001 "
                        "<j\\377@x> 1 +0000\\ncommitter c "
                        "<c@x> 1 +0000\\ngpgsig -----BEGIN\\n author fake <f@x> 1 +0000\\n "
                        "-----END\\n\\n\\n\\ngr\\374n\\n \\n' $t | git hash-object -t "
                        "commit -w --stdin); git push -q origin $c:refs/heads/main; echo $c");
    GitCommit *commit;

    assert_ok(f, git_commit_read(f->repo, hash, NULL, 0, f, &commit, NULL, &f->err));
    assert_string_equal(commit->author, "J\xef\xbf\xbdrg \x01");
    assert_string_equal(commit->email, "j\xef\xbf\xbd@x");
    assert_true(str_utf8_valid(commit->message, strlen(commit->message)));
    assert_non_null(str_after(commit->subject, "gr\xef\xbf\xbdn"));
}

static void a_commit_without_a_message_or_mail_is_read(void **state) {
    Fixture *f = *state;
    char *hash = run(f, "cd work; t=$(git mktree </dev/null); printf 'tree %%s\\nauthor nobody' $t > c; "
                        "c=$(git hash-object -t commit -w "
                        "--literally c); git -C \"$REPO\" hash-object -t commit -w --literally ../work/c");
    GitCommit *commit;

    assert_ok(f, git_commit_read(f->repo, hash, NULL, 0, f, &commit, NULL, &f->err));
    assert_string_equal(commit->author, "nobody");
    assert_string_equal(commit->email, "");
    assert_string_equal(commit->subject, "");
    assert_string_equal(commit->message, "");
}

static void the_cache_stays_within_its_bytes_and_keeps_the_newest(void **state) {
    Fixture *f = *state;
    char *big = mem_array(f, char, 100001);
    GitFile file = {.path = "x", .content = memset(big, 'x', 100000), .len = 100000}, *files;
    GitCommit commit = {.author = "a", .email = "e", .subject = "s", .message = "m"}, *found;
    const char *const asked[] = {"x", NULL};
    char hash[41];

    for (int i = 0; i < 2000; i++) {
        snprintf(hash, sizeof(hash), "%040d", i);
        commit.hash = hash;
        file.len = i < 100 ? 100000 : 10;
        git_cache_put("cache", &commit, &file, 1);
        assert_true(git_cache_size() <= GIT_CACHE_BYTES);
        assert_true(git_cache_get("cache", hash, asked, 1, 100000, f, &found, &files));
    }
    assert_true(git_cache_get("cache", hash, asked, 1, 100000, f, &found, &files));
    assert_false(git_cache_get("other", hash, asked, 1, 100000, f, &found, &files));
    snprintf(hash, sizeof(hash), "%040d", 2000 - GIT_CACHE_COMMITS);
    assert_true(git_cache_get("cache", hash, asked, 1, 100000, f, &found, &files));
    snprintf(hash, sizeof(hash), "%040d", 2000 - GIT_CACHE_COMMITS - 1);
    assert_false(git_cache_get("cache", hash, asked, 1, 100000, f, &found, &files));
    git_forget("cache");
    assert_int_equal(git_cache_size(), 0);
}

static void *use_cache(void *arg) {
    const char *const asked[] = {"x", NULL};
    GitFile file = {.path = "x", .content = "y", .len = 1};
    GitCommit commit = {.author = "a", .email = "e", .subject = "s", .message = "m"};
    void *mem = talloc_new(NULL);

    for (int i = 0; i < 3000; i++) {
        GitCommit *found = NULL;
        GitFile *files = NULL;
        char hash[41];

        snprintf(hash, sizeof(hash), "%040d", i % 700);
        commit.hash = hash;
        if (git_cache_get(arg, hash, asked, 1, 10, mem, &found, &files))
            assert_string_equal(found->hash, hash);
        else
            git_cache_put(arg, &commit, &file, 1);
        talloc_free_children(mem);
    }
    talloc_free(mem);
    return NULL;
}

static void threads_share_the_cache(void **state) {
    Fixture *f = *state;
    pthread_t threads[4];

    for (size_t i = 0; i < ELEMENTS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_cache, f->repo), 0);
    for (size_t i = 0; i < ELEMENTS(threads); i++)
        pthread_join(threads[i], NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_commit_and_its_files_are_read_at_once),
        TEST(what_was_read_is_kept_and_comes_without_git),
        TEST(what_is_read_ahead_comes_without_git),
        TEST(a_file_over_the_limit_is_named),
        TEST(the_limit_holds_for_what_is_kept_too),
        TEST(what_is_no_commit_is_not_found),
        TEST(a_path_that_could_say_more_than_one_thing_is_refused),
        TEST(bytes_that_are_no_text_are_made_text),
        TEST(a_commit_without_a_message_or_mail_is_read),
        TEST(the_cache_stays_within_its_bytes_and_keeps_the_newest),
        TEST(threads_share_the_cache),
    };

    return RUN_TESTS(tests);
}
