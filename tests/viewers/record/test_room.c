/* SPDX-License-Identifier: Apache-2.0
 * Room: what is old goes, favourites stay, and a full disk costs what did not fit and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/viewers/record/pretender.h"

struct stage {
    struct pretender p;
    struct recorder r;
};

static void begin_in(struct stage *s, const char *parent, const char *config, long limit)
{
    char dir[] = "/tmp/pretender-XXXXXX";
    assert_non_null(mkdtemp(dir));
    pretender_start(&s->p, dir, 1);
    recorder_prepare(&s->r, parent, &s->p, NULL, config);
    recorder_start(&s->r, limit);
    pretender_wait(&s->p);
}

static void restart(struct stage *s, const char *config, long limit)
{
    recorder_configure(&s->r, s->p.data, config);
    pretender_drain(&s->p);
    recorder_start(&s->r, limit);
    pretender_wait(&s->p);
}

static void finish(struct stage *s)
{
    char command[300];
    pretender_stop(&s->p);
    recorder_clean(&s->r);
    snprintf(command, sizeof command, "rm -rf '%s'", s->p.dir);
    assert_int_equal(system(command), 0);
}

static void sounds(struct stage *s, int n)
{
    for (int i = 0; i < n; i++)
        pretender_sound(&s->p, 0, DOG, 0.9, 6);
}

static void the_oldest_go_when_there_are_too_many_and_favourites_stay(void **state)
{
    struct stage s;
    int status;
    begin_in(&s, NULL, "[retention]\nmin_free = 0\nmax_size = 100 MB\n", 0);
    sounds(&s, 4);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 4);
    free(recorder_run(&s.r, &status, "favourite 2"));
    assert_int_equal(status, 0);
    assert_int_equal(recorder_stop(&s.r), 0);
    int64_t one = recorder_number(&s.r, "SELECT max(bytes) FROM event");
    int64_t database = recorder_number(&s.r, "SELECT page_count * page_size FROM pragma_page_count,"
                                             " pragma_page_size");

    char config[128]; /* room for five */
    snprintf(config, sizeof config, "[retention]\nmin_free = 0\nmax_size = %lld\n",
             (long long)(5 * one + database + 100000));
    restart(&s, config, 0);
    sounds(&s, 6);
    recorder_wait(&s.r, "SELECT max(event) FROM event", 10);
    recorder_wait(&s.r, "SELECT sum(heard) FROM tally", 10);
    assert_int_equal(recorder_stop(&s.r), 0);
    assert_true(recorder_number(&s.r, "SELECT sum(bytes) FROM event") <= 5 * one + 100000);
    assert_true(recorder_number(&s.r, "SELECT count(*) FROM event") >= 4);
    assert_int_equal(recorder_number(&s.r, "SELECT favourite FROM event WHERE event = 2"), 1);
    /* what is left beside the favourite are the newest, without a hole */
    assert_int_equal(recorder_number(&s.r,
                                     "SELECT max(event) - min(event) + 1 - count(*) FROM event"
                                     " WHERE favourite = 0"),
                     0);
    assert_int_equal(recorder_number(&s.r, "SELECT kept FROM tally"), 10); /* counts stay */
    recorder_must_be_whole(&s.r);
    finish(&s);
}

static void what_is_too_old_goes(void **state)
{
    struct stage s;
    begin_in(&s, NULL, "[record]\nlead = 0.5 s\n", 0);
    s.p.t0_ns -= INT64_C(40) * 86400 * 1000000000; /* it was 40 days ago */
    sounds(&s, 2);
    s.p.t0_ns += INT64_C(40) * 86400 * 1000000000;
    sounds(&s, 2);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 4);
    assert_int_equal(recorder_stop(&s.r), 0);
    restart(&s, "[retention]\nmin_free = 0\nmax_age = 30 days\n", 0);
    double until = seconds() + 20;
    while (recorder_number(&s.r, "SELECT count(*) FROM event") != 2 && seconds() < until)
        usleep(10000);
    assert_int_equal(recorder_number(&s.r, "SELECT min(event) FROM event"), 3);
    recorder_must_be_whole(&s.r);
    finish(&s);
}

static void without_room_nothing_is_written_and_it_is_counted(void **state)
{
    struct stage s;
    begin_in(&s, NULL, "[retention]\nmin_free = 900 TB\n", 0);
    sounds(&s, 3);
    recorder_wait(&s.r, "SELECT dropped FROM tally", 3);
    assert_true(recorder_lives(&s.r));
    assert_true(recorder_logged(&s.r, "min_free"));
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM event"), 0);
    recorder_must_be_whole(&s.r);
    assert_int_equal(recorder_stop(&s.r), 0);
    restart(&s, "[retention]\nmin_free = 0\n", 0); /* there is room again */
    sounds(&s, 1);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 1);
    finish(&s);
}

/* A limit on files' sizes is met in the midst of a file, as a full disk is. */
static void a_file_that_cannot_be_written_leaves_nothing(void **state)
{
    struct stage s;
    begin_in(&s, NULL, "[record]\nlead = 0.5 s\n", 0);
    sounds(&s, 2);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 2);
    assert_int_equal(recorder_stop(&s.r), 0);
    long between = (long)recorder_number(&s.r, "SELECT min(bytes) FROM event") / 8;
    pretender_drain(&s.p);
    recorder_start(&s.r, between);
    double until = seconds() + 10;
    while (!recorder_logged(&s.r, "File too large") && recorder_lives(&s.r) && seconds() < until) {
        sounds(&s, 1);
        usleep(100000);
    }
    recorder_kill(&s.r);
    assert_int_equal(recorder_number(&s.r, "SELECT count(*) FROM event"), 2);
    restart(&s, "[record]\nlead = 0.5 s\n", 0);
    sounds(&s, 1);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 3);
    recorder_must_be_whole(&s.r);
    finish(&s);
}

/* A file system of four megabytes, and limits that never make room by themselves. */
static void a_full_disk_costs_what_did_not_fit(void **state)
{
    char parent[] = "/tmp/full-XXXXXX", ballast[64];
    struct stage s;
    assert_non_null(mkdtemp(parent));
    if (mount("tmpfs", parent, "tmpfs", 0, "size=4m") < 0) {
        rmdir(parent);
        print_message("skipped: a file system of its own needs root\n");
        skip();
    }
    snprintf(ballast, sizeof ballast, "%s/ballast", parent);
    begin_in(&s, parent, "[retention]\nmin_free = 0\nmax_size = 0\n", 0);
    sounds(&s, 2);
    recorder_wait(&s.r, "SELECT count(*) FROM event", 2);
    int64_t before = recorder_number(&s.r, "SELECT sum(heard) FROM tally");
    assert_int_equal(before, 2);
    FILE *file = fopen(ballast, "w"); /* somebody else fills the disk */
    assert_non_null(file);
    while (fputc('x', file) != EOF && fflush(file) == 0) {
        static char block[4096];
        if (fwrite(block, 1, sizeof block, file) != sizeof block || fflush(file) != 0)
            break;
    }
    fclose(file);
    for (int i = 0; i < 6; i++) {
        sounds(&s, 1);
        usleep(200000);
        assert_true(recorder_lives(&s.r));
    }
    recorder_must_be_whole(&s.r);
    recorder_kill(&s.r); /* and a kill on top */
    assert_int_equal(unlink(ballast), 0);
    restart(&s, "[retention]\nmin_free = 0\nmax_size = 0\n", 0);
    recorder_must_be_whole(&s.r);
    uint64_t id = pretender_sound(&s.p, 0, DOG, 0.9, 6);
    recorder_wait(&s.r, "SELECT max(event) FROM event", (int64_t)id);
    recorder_must_be_whole(&s.r);
    pretender_stop(&s.p);
    recorder_clean(&s.r);
    assert_int_equal(umount(parent), 0);
    rmdir(parent);
    rmdir(s.p.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_go_when_there_are_too_many_and_favourites_stay),
        cmocka_unit_test(what_is_too_old_goes),
        cmocka_unit_test(without_room_nothing_is_written_and_it_is_counted),
        cmocka_unit_test(a_file_that_cannot_be_written_leaves_nothing),
        cmocka_unit_test(a_full_disk_costs_what_did_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
