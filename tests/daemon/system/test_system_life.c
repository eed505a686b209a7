/* SPDX-License-Identifier: Apache-2.0
 * A whole focald from start to stop: labels of known clips, live parameters, reload, stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/daemon/system/focald_process.h"

static struct focald_process focald;

static int teardown(void **state)
{
    (void)state;
    focald_clean(&focald);
    return 0;
}

static char *demo_config(const char *rest)
{
    static char text[1024];
    snprintf(text, sizeof text, "[stream demo]\nsource = file:%s\nloop = yes\n%s", demo_dir(),
             rest);
    return text;
}

/* The next message of the topic within the time, or the test fails. */
static void next(struct focal *focal, struct focal_message *m, double timeout_s)
{
    int r = focal_next(focal, m, (int)(timeout_s * 1000));
    if (r != 1)
        fail_msg("no message within %g s: %d %s", timeout_s, r, focal_error(focal));
}

static void sigterm_ends_within_a_second_and_leaves_no_sockets(void **state)
{
    (void)state;
    double ms;
    char path[320];
    struct focal_message m;
    focald_start(&focald, demo_config(""));
    struct focal *focal = focald_client(&focald, "label/");
    next(focal, &m, 15);
    assert_int_equal(focald_stop(&focald, &ms), 0);
    printf("stopped after %.0f ms\n", ms);
    assert_true(ms < 1000);
    snprintf(path, sizeof path, "%s/run/data", focald.dir);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/run/control", focald.dir);
    assert_int_not_equal(access(path, F_OK), 0);
    focal_close(focal);
}

static void what_sounds_when_it_is_stopped_ends(void **state)
{
    (void)state;
    int running = 0;
    struct focal_message m;
    focald_start(&focald, demo_config("[events]\non = 0.03\noff = 0.01\nmin_length = 0 s\n"));
    struct focal *focal = focald_client(&focald, "event/");
    for (bool stopped = false; !stopped || running > 0;) {
        double ended, onset, end;
        next(focal, &m, 15);
        assert_int_equal(focal_number(focal, "ended", &ended), 0);
        assert_int_equal(focal_number(focal, "onset", &onset), 0);
        assert_int_equal(focal_number(focal, "end", &end), 0);
        assert_true(ended == 1 ? end >= onset : end == 0);
        running += ended == 1 ? -1 : 1;
        if (!stopped && running > 0) {
            assert_int_equal(focald_stop(&focald, NULL), 0);
            stopped = true;
        }
    }
    focal_close(focal);
}

static void every_topic_comes_with_its_header(void **state)
{
    (void)state;
    static const char *const topics[] = {"info", "label", "map",   "mask",
                                         "spec", "audio", "input", "health"};
    enum { TOPICS = sizeof topics / sizeof topics[0] };
    int seen[TOPICS] = {0};
    focald_start(&focald, demo_config(""));
    struct focal *focal = focald_client(&focald, "");
    double end = seconds_now() + 20;
    int complete = 0;
    while (complete < TOPICS && seconds_now() < end) {
        struct focal_message m;
        double number;
        next(focal, &m, 10);
        assert_int_equal(m.lost, 0);
        assert_string_equal(m.stream, "demo");
        assert_int_equal(focal_number(focal, "v", &number), 0);
        assert_true(number == 1);
        complete = 0;
        for (int i = 0; i < TOPICS; i++) {
            if (strcmp(m.topic, topics[i]) == 0)
                seen[i]++;
            complete += seen[i] >= 2 || (seen[i] >= 1 && (i == 0 || i == TOPICS - 1));
        }
    }
    for (int i = 0; i < TOPICS; i++)
        if (seen[i] == 0)
            fail_msg("nothing came on %s", topics[i]);
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

static void input_and_audio_are_contiguous_and_equal_where_the_mask_is_full(void **state)
{
    (void)state;
    enum { SECONDS = 8, RATE = 16000 };
    /* q = 0 keeps every cell: the interpretation is the input itself */
    focald_start(&focald, demo_config("[analysis]\nquantile = 0\nsilence_gate = -120 dBFS\n"));
    struct focal *focal = focald_client(&focald, "audio/");
    assert_int_equal(focal_subscribe(focal, "input/"), 0);
    static float input[40 * RATE], audio[40 * RATE];
    uint64_t input_first = 0, input_end = 0, audio_first = 0, audio_end = 0;
    while (audio_end - audio_first < SECONDS * RATE) {
        struct focal_message m;
        next(focal, &m, 15);
        bool is_input = strcmp(m.topic, "input") == 0;
        uint64_t *first = is_input ? &input_first : &audio_first;
        uint64_t *end = is_input ? &input_end : &audio_end;
        if (*end == 0)
            *first = *end = m.first;
        assert_int_equal(m.first, *end);
        assert_int_equal(m.payload_bytes, m.count * sizeof(float));
        *end += m.count;
        assert_true(*end < 40 * RATE);
        memcpy((is_input ? input : audio) + m.first, m.payload, m.payload_bytes);
    }
    uint64_t from = input_first > audio_first ? input_first : audio_first;
    uint64_t to = input_end < audio_end ? input_end : audio_end;
    double worst = 0, loudest = 0;
    for (uint64_t i = from; i < to; i++) {
        double d = fabs((double)input[i] - (double)audio[i]);
        worst = d > worst || isnan(d) ? d : worst;
        loudest = fmax(loudest, fabs((double)input[i]));
    }
    printf("%llu samples, loudest %g, largest difference %g\n", (unsigned long long)(to - from),
           loudest, worst);
    assert_true(to - from > (SECONDS - 2) * RATE);
    assert_true(loudest > 0.05);
    assert_true(worst < 1e-5);
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

static void wait_for_info(struct focal *focal, double quantile)
{
    double end = seconds_now() + 10;
    while (seconds_now() < end) {
        struct focal_message m;
        double got;
        next(focal, &m, 12);
        if (focal_number(focal, "analysis.quantile", &got) == 0 && fabs(got - quantile) < 1e-9)
            return;
    }
    fail_msg("info never told quantile %g", quantile);
}

static void set_is_told_to_all_and_a_wrong_value_changes_nothing(void **state)
{
    (void)state;
    focald_start(&focald, demo_config(""));
    struct focal *focal = focald_client(&focald, "info/");
    wait_for_info(focal, 0.9);
    free(focald_request(&focald, "{\"cmd\":\"set\",\"key\":\"quantile\",\"value\":0.75}", true));
    wait_for_info(focal, 0.75);
    char *reply =
        focald_request(&focald, "{\"cmd\":\"set\",\"key\":\"quantile\",\"value\":7}", false);
    assert_non_null(strstr(reply, "quantile"));
    free(reply);
    reply = focald_request(&focald, "{\"cmd\":\"set\",\"key\":\"quantum\",\"value\":7}", false);
    assert_non_null(strstr(reply, "quantum"));
    free(reply);
    reply = focald_request(&focald, "{\"cmd\":\"get\",\"key\":\"quantile\"}", true);
    assert_non_null(strstr(reply, "0.75"));
    free(reply);
    free(focald_request(&focald, "{\"cmd\":\"dance\"}", false));
    free(focald_request(&focald, "{\"cmd\":\"info\"}", true));
    free(focald_request(&focald, "{\"cmd\":\"streams\"}", true));
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

static void sighup_takes_the_new_file_and_a_broken_one_is_left_alone(void **state)
{
    (void)state;
    focald_start(&focald, demo_config(""));
    struct focal *focal = focald_client(&focald, "info/");
    wait_for_info(focal, 0.9);
    focald_configure(&focald, demo_config("[analysis]\nquantile = 0.8\n"));
    kill(focald.pid, SIGHUP);
    wait_for_info(focal, 0.8);
    focald_configure(&focald, demo_config("[analysis]\nquantile = lots\n"));
    kill(focald.pid, SIGHUP);
    double end = seconds_now() + 5;
    while (!focald_logged(&focald, "stays as it was") && seconds_now() < end)
        usleep(20000);
    assert_true(focald_logged(&focald, "lots"));
    assert_true(focald_logged(&focald, "focald.conf:"));
    char *reply = focald_request(&focald, "{\"cmd\":\"get\",\"key\":\"quantile\"}", true);
    assert_non_null(strstr(reply, "0.8"));
    free(reply);
    reply = focald_request(&focald, "{\"cmd\":\"reload\"}", false);
    assert_non_null(strstr(reply, "lots"));
    free(reply);
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

/* A copy of the tests' model in the test's directory, changed by a command of sed on one file. */
static void copy_model(const char *name, const char *edit, const char *file)
{
    char command[1024];
    snprintf(command, sizeof command,
             "cp -r %s/tests/data/baseline %s/%s && chmod -R u+w %s/%s && sed -i '%s' %s/%s/%s",
             getenv("FOCALD_SOURCE"), focald.dir, name, focald.dir, name, edit, focald.dir, name,
             file);
    assert_int_equal(system(command), 0);
}

/* The model that the configuration names, behind a link. */
static void link_model(const char *name)
{
    char link[512];
    snprintf(link, sizeof link, "%s/model", focald.dir);
    unlink(link);
    assert_int_equal(symlink(name, link), 0);
}

static void expect_reload(bool ok, const char *text)
{
    struct focal *focal = focald_client(&focald, "none/");
    char *reply = NULL;
    assert_int_equal(focal_request(focal, "{\"cmd\":\"reload\"}", &reply, 20000), 0);
    focal_close(focal);
    if (strstr(reply, ok ? "\"ok\":true" : "\"ok\":false") == NULL || strstr(reply, text) == NULL)
        fail_msg("reload answers %s, not %s", reply, text);
    free(reply);
}

static void a_reload_answers_what_became_of_the_model(void **state)
{
    (void)state;
    char model[512], config[1024];
    focald_start(&focald, demo_config(""));
    copy_model("one", "", "labels.txt");
    copy_model("two", "1s/.*/hum/", "labels.txt");
    copy_model("three", "s/\"window_s\": *5[.0]*/\"window_s\": 4.0/", "preprocess.json");
    snprintf(model, sizeof model, "[model]\ndir = %s/model\n", focald.dir);
    snprintf(config, sizeof config, "%s", demo_config(model));
    focald_configure(&focald, config);
    expect_reload(false, "model"); /* there is none yet */
    assert_true(focald_logged(&focald, "stays as it was"));
    link_model("one");
    expect_reload(true, "[\"model.dir\",\"model\"]");
    expect_reload(true, "\"changed\":[]");
    link_model("two");
    expect_reload(true, "[\"model\"]");
    link_model("three");
    expect_reload(false, "restart focald");
    link_model("two");
    expect_reload(true, "\"changed\":[]");
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

/* While the model is read what is heard goes out, and whoever asks meanwhile is answered, too. */
static void reloads_hold_up_nothing(void **state)
{
    (void)state;
    char config[1024];
    snprintf(
        config, sizeof config,
        "[stream demo]\nsource = file:%s\nloop = yes\n[analysis]\nhop = 8 frames\n[model]\ndir = ",
        demo_dir());
    focald_start(&focald, config);
    copy_model("one", "", "labels.txt");
    copy_model("two", "1s/.*/hum/", "labels.txt");
    snprintf(config + strlen(config), sizeof config - strlen(config), "%s/model\n", focald.dir);
    focald_configure(&focald, config);
    link_model("one");
    expect_reload(true, "model");
    struct focal *all = focald_client(&focald, "");
    struct focal_message m;
    do
        next(all, &m, 15);
    while (strcmp(m.topic, "label") != 0);
    for (int i = 0; i < 10; i++) {
        link_model(i % 2 == 0 ? "two" : "one");
        kill(focald.pid, SIGHUP); /* this reload or the one asked for takes it */
        expect_reload(true, "\"changed\":[");
    }
    assert_true(focald_status(&focald, "dropped_messages") == 0);
    focal_close(all);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

static void a_second_focald_on_the_same_sockets_is_refused_and_the_first_lives_on(void **state)
{
    (void)state;
    char command[1024];
    struct focal_message m;
    focald_start(&focald, demo_config(""));
    snprintf(command, sizeof command, "%s run --config %s/focald.conf >%s/second 2>&1",
             getenv("FOCALD"), focald.dir, focald.dir);
    int status = system(command);
    assert_int_not_equal(status, 0);
    struct focal *focal = focald_client(&focald, "label/");
    next(focal, &m, 15);
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
}

static void a_file_played_fast_skips_nothing_and_ends_the_daemon(void **state)
{
    (void)state;
    char config[1024];
    focald_start(&focald, demo_config("")); /* only for its directory and log */
    assert_int_equal(focald_stop(&focald, NULL), 0);
    snprintf(config, sizeof config,
             "[stream demo]\nsource = file:%s\nfast = yes\n[analysis]\nhop = 43 frames\n",
             demo_dir());
    focald_configure(&focald, config);
    char command[1024];
    snprintf(command, sizeof command, "%s run --config %s/focald.conf 2>>%s", getenv("FOCALD"),
             focald.dir, focald.log);
    double start = seconds_now();
    assert_int_equal(system(command), 0);
    printf("50 s of clips in %.1f s\n", seconds_now() - start);
    assert_true(focald_logged(&focald, "at its end"));
}

/* Runs focald to its end on one clip of so many seconds, as fast as it goes. */
static void play_clip_of(int seconds)
{
    static short silence[16000];
    SF_INFO info = {.samplerate = 16000, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    char path[512], config[1024], command[1024];
    focald_start(&focald, demo_config("")); /* only for its directory and log */
    assert_int_equal(focald_stop(&focald, NULL), 0);
    snprintf(path, sizeof path, "%s/clip.wav", focald.dir);
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    assert_non_null(file);
    for (int s = 0; s < seconds; s++)
        assert_int_equal(sf_writef_short(file, silence, 16000), 16000);
    sf_close(file);
    snprintf(config, sizeof config, "[stream demo]\nsource = file:%s\nfast = yes\n", path);
    focald_configure(&focald, config);
    snprintf(command, sizeof command, "%s run --config %s/focald.conf 2>%s", getenv("FOCALD"),
             focald.dir, focald.log);
    assert_int_equal(system(command), 0);
}

static void a_clip_too_short_to_be_heard_is_said_to_be(void **state)
{
    (void)state;
    play_clip_of(3);
    assert_true(focald_logged(&focald, "demo: "));
    assert_true(focald_logged(&focald, "focald classify"));
    focald_clean(&focald);
    play_clip_of(6);
    assert_false(focald_logged(&focald, "focald classify"));
}

/* What systemd would be told, until it holds `text`. */
static void expect_notice(int socket_fd, const char *text, double timeout_s)
{
    double end = seconds_now() + timeout_s;
    char message[1024];
    while (seconds_now() < end) {
        ssize_t n = recv(socket_fd, message, sizeof message - 1, 0);
        message[n > 0 ? n : 0] = '\0';
        if (strstr(message, text) != NULL)
            return;
    }
    fail_msg("systemd was never told %s", text);
}

static void systemd_is_told_of_readiness_state_and_finished_windows(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval wait = {.tv_usec = 200000};
    char dir[] = "/tmp/focald-notify-XXXXXX";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_non_null(mkdtemp(dir));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    focald_start(&focald, demo_config(""));
    unsetenv("NOTIFY_SOCKET");
    expect_notice(fd, "READY=1", 5);
    expect_notice(fd, "STATUS=demo: playing", 5);
    expect_notice(fd, "WATCHDOG=1", 5);
    kill(focald.pid, SIGHUP);
    expect_notice(fd, "RELOADING=1", 5);
    expect_notice(fd, "READY=1", 5);
    kill(focald.pid, SIGTERM);
    expect_notice(fd, "STOPPING=1", 5);
    assert_int_equal(focald_stop(&focald, NULL), 0);
    close(fd);
    unlink(address.sun_path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(sigterm_ends_within_a_second_and_leaves_no_sockets, teardown),
        cmocka_unit_test_teardown(what_sounds_when_it_is_stopped_ends, teardown),
        cmocka_unit_test_teardown(every_topic_comes_with_its_header, teardown),
        cmocka_unit_test_teardown(input_and_audio_are_contiguous_and_equal_where_the_mask_is_full,
                                  teardown),
        cmocka_unit_test_teardown(set_is_told_to_all_and_a_wrong_value_changes_nothing, teardown),
        cmocka_unit_test_teardown(sighup_takes_the_new_file_and_a_broken_one_is_left_alone,
                                  teardown),
        cmocka_unit_test_teardown(a_reload_answers_what_became_of_the_model, teardown),
        cmocka_unit_test_teardown(reloads_hold_up_nothing, teardown),
        cmocka_unit_test_teardown(
            a_second_focald_on_the_same_sockets_is_refused_and_the_first_lives_on, teardown),
        cmocka_unit_test_teardown(systemd_is_told_of_readiness_state_and_finished_windows,
                                  teardown),
        cmocka_unit_test_teardown(a_clip_too_short_to_be_heard_is_said_to_be, teardown),
        cmocka_unit_test_teardown(a_file_played_fast_skips_nothing_and_ends_the_daemon, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
