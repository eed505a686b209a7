/* SPDX-License-Identifier: Apache-2.0
 * The goal: 16 streams with every snippet kept, on one core, without loss. A publisher speaks 16
 * streams in real time, in hops of 0.12 s (four times as many messages as focald sends); each hears
 * a sound of two seconds every seven. The recorder is bound to one core, and writes to a real disk.
 * What counts is its time on the processor, until the last snippet is kept: the machine may be busy
 * with other things. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/viewers/record/pretender.h"

enum { STREAMS = 16, ROUND_HOPS = 60, SOUND_HOPS = 17, ROUNDS = 4 };

static double used_s(const struct recorder *r)
{
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", r->pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(
        fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
        2);
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void sixteen_streams_on_one_core(void **state)
{
    char dir[] = "/tmp/pretender-XXXXXX";
    struct pretender p;
    struct recorder r;
    cpu_set_t all, one;
    assert_non_null(mkdtemp(dir));
    pretender_start(&p, dir, STREAMS);
    recorder_prepare(&r, "/tmp", &p, NULL, "");
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one); /* the child keeps it */
    recorder_start(&r, 0);
    sched_setaffinity(0, sizeof all, &all);
    pretender_wait(&p);

    double start = seconds(), before = used_s(&r), hop_s = (double)PRETENDER_HOP / 16000;
    int events = 0, hops = ROUNDS * ROUND_HOPS;
    for (int i = 0; i < hops; i++) {
        for (int k = 0; k < STREAMS; k++) {
            int at = (i + k * ROUND_HOPS / STREAMS) % ROUND_HOPS;
            if (at == 0 && i + SOUND_HOPS < hops)
                pretender_onset(&p, k, DOG, 0.9);
            pretender_quiet(&p, k, 1);
            if (at == SOUND_HOPS && p.streams[k].onset > 0) {
                pretender_end(&p, k, DOG, 0.9);
                p.streams[k].onset = 0;
                events++;
            }
        }
        double ahead = start + (i + 1) * hop_s - seconds();
        if (ahead > 0)
            usleep((useconds_t)(ahead * 1e6));
    }
    double heard_s = hops * hop_s, took_s = seconds() - start;
    for (int k = 0; k < STREAMS; k++)
        pretender_quiet(&p, k, 40);
    double patience = seconds() + 240;
    while (recorder_number(&r, "SELECT count(*) FROM event") < events && seconds() < patience)
        usleep(100000);
    double used = used_s(&r) - before;
    assert_int_equal(recorder_stop(&r), 0);

    int64_t kept = recorder_number(&r, "SELECT count(*) FROM event");
    int64_t dropped = recorder_number(&r, "SELECT sum(dropped) FROM tally");
    int64_t lost = recorder_number(&r, "SELECT count(*) FROM loss");
    printf("%d streams, %.1f s of each in %.1f s: %lld of %d snippets kept, %lld dropped, %lld "
           "losses\n"
           "processor: %.2f s for %.1f s of sound, %.1f %% of one core (goal: below 100 %%)\n",
           STREAMS, heard_s, took_s, (long long)kept, events, (long long)dropped, (long long)lost,
           used, heard_s, 100 * used / heard_s);
    assert_true(kept >= events);
    assert_int_equal(dropped, 0);
    assert_int_equal(lost, 0);
    assert_true(used < heard_s);
    recorder_must_be_whole(&r);
    pretender_stop(&p);
    recorder_clean(&r);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sixteen_streams_on_one_core)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
