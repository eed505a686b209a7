/* SPDX-License-Identifier: Apache-2.0
 * libfocal against a real publisher, and against peers that are none. */
#include "tests/ipc/fixture.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include <focal.h>

#include "ipc/libfocal/parse.h"
#include "ipc/libfocal/sequence.h"

static struct fixture f;
static struct focal *focal;
static struct outbox *outbox;

static int setup(void **state)
{
    fixture_init(&f);
    fixture_start(&f);
    struct focal_options options = {.data = f.data, .control = f.control};
    assert_int_equal(focal_open(&focal, &options), 0);
    assert_int_equal(outbox_create(&outbox, f.publisher, 64, 64 * 1024, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    focal_close(focal);
    fixture_finish(&f);
    return 0;
}

static void subscribe(const char *topic, int stream, enum topic wanted)
{
    assert_int_equal(focal_subscribe(focal, topic), 0);
    assert_true(wait_until(publisher_wants(f.publisher, stream, wanted)));
}

static void messages_come_with_header_and_payload(void **state)
{
    json_t *fields = json_pack("{s:[s,s]}", "labels", "dog", "rooster");
    assert_int_equal(publisher_set_info(f.publisher, 0, fields), 0);
    json_decref(fields);
    subscribe("label/", 0, TOPIC_LABEL);
    struct message *m = outbox_take(outbox);
    m->topic = TOPIC_LABEL;
    m->first = 7998;
    m->count = 80000;
    m->t_wall_ns = 123456789;
    m->label = (struct label_message){.n_top = 1, .n_classes = 2, .rms_dbfs = -INFINITY};
    m->label.top[0].index = 1;
    m->label.top[0].p = 0.75f;
    m->payload_bytes = 24;
    for (int i = 0; i < 6; i++)
        ((float *)m->payload)[i] = (float)i;
    outbox_send(outbox);

    struct focal_message got;
    assert_int_equal(focal_next(focal, &got, 5000), 1);
    assert_string_equal(got.topic, "label");
    assert_string_equal(got.stream, "kitchen");
    assert_int_equal(got.seq, 0);
    assert_int_equal(got.first, 7998);
    assert_int_equal(got.count, 80000);
    assert_int_equal(got.t_ns, 123456789);
    assert_int_equal(strlen(got.header), got.header_bytes);
    assert_int_equal(got.payload_bytes, 24);
    assert_int_equal((uintptr_t)got.payload % 8, 0);
    assert_true(((const float *)got.payload)[5] == 5.0f);

    double number;
    const char *string;
    assert_int_equal(focal_number(focal, "top.0.p", &number), 0);
    assert_true(number == 0.75);
    assert_int_equal(focal_string(focal, "top.0.label", &string), 0);
    assert_string_equal(string, "rooster");
    assert_int_equal(focal_number(focal, "silence", &number), 0);
    assert_true(number == 0);
    assert_int_equal(focal_number(focal, "rms_dbfs", &number), -ENOENT); /* null */
    assert_int_equal(focal_number(focal, "top.1.p", &number), -ENOENT);
    assert_int_equal(focal_number(focal, "top.x", &number), -ENOENT);
    assert_int_equal(focal_number(focal, "", &number), -EINVAL);
    assert_int_equal(focal_number(focal, "dtype", &number), -EINVAL);
    assert_int_equal(focal_string(focal, "seq", &string), -EINVAL);
    assert_int_equal(focal_string(focal, "top.", &string), -ENOENT);
}

static void payloads_are_aligned_whatever_their_size(void **state)
{
    subscribe("input/", 0, TOPIC_INPUT);
    for (uint64_t n = 0; n < 3000; n = n * 3 / 2 + 1) {
        fixture_send_input(outbox, 0, n, n);
        struct focal_message got;
        assert_int_equal(focal_next(focal, &got, 5000), 1);
        assert_int_equal(got.payload_bytes, 4 * n);
        assert_int_equal((uintptr_t)got.payload % 8, 0);
        for (uint64_t i = 0; i < n; i++)
            assert_true(((const float *)got.payload)[i] == (float)(n + i) / 1e6f);
    }
}

static void waiting_ends_in_time(void **state)
{
    struct focal_message got;
    subscribe("input/", 0, TOPIC_INPUT);
    assert_int_equal(focal_next(focal, &got, 0), 0);
    int64_t start = fixture_now_ms();
    assert_int_equal(focal_next(focal, &got, 100), 0);
    assert_in_range(fixture_now_ms() - start, 99, 3000);
}

static void a_descriptor_tells_of_messages(void **state)
{
    struct focal_message got;
    subscribe("input/", 0, TOPIC_INPUT);
    struct pollfd pollfd = {.fd = focal_fd(focal), .events = POLLIN};
    assert_true(pollfd.fd >= 0);
    int n = 0;
    while (focal_next(focal, &got, 0) == 1) {
    }
    for (uint64_t i = 0; i < 20; i++)
        fixture_send_input(outbox, 0, i, 10);
    while (n < 20 && poll(&pollfd, 1, 5000) == 1)
        while (focal_next(focal, &got, 0) == 1)
            n++;
    assert_int_equal(n, 20);
}

static void on_signal(int number)
{
}

static void *interrupt(void *user)
{
    fixture_sleep_ms(100);
    pthread_kill(*(pthread_t *)user, SIGUSR1);
    return NULL;
}

static void a_signal_ends_the_wait(void **state)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t self = pthread_self(), thread;
    struct focal_message got;
    subscribe("input/", 0, TOPIC_INPUT);
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &self), 0);
    assert_int_equal(focal_next(focal, &got, 10000), -EINTR);
    pthread_join(thread, NULL);
}

static void a_request_gets_its_own_reply(void **state)
{
    char *reply;
    for (int i = 0; i < 20; i++) {
        char request[64], expected[64];
        snprintf(request, sizeof request, "{\"cmd\":\"echo\",\"n\":%d}", i);
        assert_int_equal(focal_request(focal, request, &reply, 5000), 0);
        snprintf(expected, sizeof expected, "\"n\":%d}", i);
        assert_non_null(strstr(reply, expected));
        free(reply);
    }
    assert_int_equal(focal_request(focal, "nonsense", &reply, 5000), 0);
    assert_non_null(strstr(reply, "\"ok\":false"));
    free(reply);
}

static void no_daemon_is_a_timeout_that_names_the_socket(void **state)
{
    struct focal *alone;
    struct focal_options options = {.data = "ipc:///tmp/focald-none/data",
                                    .control = "ipc:///tmp/focald-none/control"};
    char *reply = NULL;
    struct focal_message got;
    assert_int_equal(focal_open(&alone, &options), 0);
    assert_int_equal(focal_subscribe(alone, ""), 0);
    assert_int_equal(focal_next(alone, &got, 50), 0);
    assert_int_equal(focal_request(alone, "{\"cmd\":\"ping\"}", &reply, 100), -ETIMEDOUT);
    assert_null(reply);
    assert_non_null(strstr(focal_error(alone), "/tmp/focald-none/control"));
    focal_close(alone);
}

static void a_client_outlives_the_daemon(void **state)
{
    struct focal_message got;
    char *reply;
    subscribe("input/", 0, TOPIC_INPUT);
    for (uint64_t i = 0; i < 5; i++) {
        fixture_send_input(outbox, 0, i, 4);
        assert_int_equal(focal_next(focal, &got, 5000), 1);
    }
    assert_int_equal(got.seq, 4);
    assert_int_equal(focal_request(focal, "{\"cmd\":\"ping\"}", &reply, 5000), 0);
    free(reply);
    publisher_destroy(f.publisher);
    assert_int_equal(focal_request(focal, "{\"cmd\":\"ping\"}", &reply, 100), -ETIMEDOUT);
    fixture_start(&f);
    assert_int_equal(outbox_create(&outbox, f.publisher, 64, 1024, NULL), 0);
    /* ZeroMQ subscribes anew when the client next looks */
    assert_true(
        wait_until((focal_next(focal, &got, 0), publisher_wants(f.publisher, 0, TOPIC_INPUT))));
    for (uint64_t i = 0; i < 7; i++)
        fixture_send_input(outbox, 0, i, 4);
    for (uint64_t i = 0; i < 7; i++) {
        assert_int_equal(focal_next(focal, &got, 5000), 1);
        assert_int_equal(got.seq, i);
        assert_int_equal(got.lost, 0); /* another run: its numbers begin anew */
    }
    assert_int_equal(focal_request(focal, "{\"cmd\":\"ping\"}", &reply, 5000), 0);
    free(reply);
}

/* What the kernel's timer of the connection to that port is for: 2 is keeping it alive. -1: there
 * is no such connection. */
static int timer_to(unsigned port)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    char line[256];
    unsigned remote, state, timer;
    int found = -1;
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(tables[i], "r");
        while (file != NULL && fgets(line, sizeof line, file) != NULL)
            if (sscanf(line, "%*s %*s %*[0-9A-F]:%x %x %*x:%*x %x:", &remote, &state, &timer) ==
                    3 &&
                remote == port && state == 1)
                found = (int)timer;
        if (file != NULL)
            fclose(file);
    }
    return found;
}

static void a_machine_that_went_away_silently_is_noticed(void **state)
{
    char endpoint[64];
    size_t size = sizeof endpoint;
    struct focal *far;
    if (access("/proc/net/tcp", R_OK) != 0) {
        print_message("skipped: no /proc/net/tcp tells of the connection\n");
        skip();
    }
    void *context = zmq_ctx_new(), *pub = zmq_socket(context, ZMQ_XPUB);
    assert_int_equal(zmq_bind(pub, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(pub, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    unsigned port = (unsigned)atoi(strrchr(endpoint, ':') + 1);
    struct focal_options options = {.data = endpoint, .control = f.control};
    assert_int_equal(focal_open(&far, &options), 0);
    assert_true(wait_until(timer_to(port) == 2));
    focal_close(far);
    zmq_close(pub);
    zmq_ctx_term(context);
}

/* A peer that is not focald, publishing frames as they are given. */
static void send_strange(void *pub, const char *topic, const char *header, int frames)
{
    zmq_send(pub, topic, strlen(topic), frames > 1 ? ZMQ_SNDMORE : 0);
    if (frames > 1)
        zmq_send(pub, header, strlen(header), frames > 2 ? ZMQ_SNDMORE : 0);
    for (int i = 2; i < frames; i++)
        zmq_send(pub, "payload", 7, i + 1 < frames ? ZMQ_SNDMORE : 0);
}

#define GOOD(seq) "{\"v\":1,\"run\":1,\"seq\":" #seq ",\"first\":0,\"count\":0,\"t_ns\":0}"

static void strange_messages_are_dropped_and_told(void **state)
{
    static const struct {
        const char *topic, *header;
        int frames;
    } strange[] = {
        {"label/kitchen", GOOD(1), 1},
        {"label/kitchen", GOOD(1), 2},
        {"label/kitchen", GOOD(1), 4},
        {"label", GOOD(1), 3},
        {"/kitchen", GOOD(1), 3},
        {"label/", GOOD(1), 3},
        {"label/kit chen", GOOD(1), 3},
        {"label/../kitchen", GOOD(1), 3},
        {"label/\033[2J", GOOD(1), 3},
        {"label/k\xc2\x9bm", GOOD(1), 3},
        {"la\tbel/kitchen", GOOD(1), 3},
        {"label/kitchen", "", 3},
        {"label/kitchen", "[]", 3},
        {"label/kitchen", "{\"v\":1}", 3},
        {"label/kitchen", "{\"v\":2,\"seq\":1,\"first\":0,\"count\":0,\"t_ns\":0}", 3},
        {"label/kitchen", "{\"v\":1,\"seq\":-1,\"first\":0,\"count\":0,\"t_ns\":0}", 3},
        {"label/kitchen", "{\"v\":1,\"seq\":1.5,\"first\":0,\"count\":0,\"t_ns\":0}", 3},
    };
    char endpoint[96];
    struct focal *other;
    struct focal_message got;
    snprintf(endpoint, sizeof endpoint, "ipc://%s/strange", f.directory);
    void *context = zmq_ctx_new(), *pub = zmq_socket(context, ZMQ_XPUB);
    assert_int_equal(zmq_bind(pub, endpoint), 0);
    struct focal_options options = {.data = endpoint, .control = f.control};
    assert_int_equal(focal_open(&other, &options), 0);
    assert_int_equal(focal_subscribe(other, ""), 0);
    char subscription[8];
    assert_int_equal(zmq_recv(pub, subscription, sizeof subscription, 0), 1);
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        send_strange(pub, strange[i].topic, strange[i].header, strange[i].frames);
        assert_int_equal(focal_next(other, &got, 5000), -EPROTO);
        assert_true(strlen(focal_error(other)) > 10);
    }
    send_strange(pub, "label/kitchen", GOOD(5), 3);
    assert_int_equal(focal_next(other, &got, 5000), 1);
    assert_int_equal(got.lost, 0);
    send_strange(pub, "label/kitchen", GOOD(9), 3);
    assert_int_equal(focal_next(other, &got, 5000), 1);
    assert_int_equal(got.lost, 3);
    send_strange(pub, "label/garden", GOOD(2), 3);
    assert_int_equal(focal_next(other, &got, 5000), 1);
    assert_int_equal(got.lost, 0);
    focal_close(other);
    zmq_close(pub);
    zmq_ctx_term(context);
}

static void what_was_not_subscribed_to_is_not_lost(void **state)
{
    struct sequences s = {0};
    struct parsed m = {.topic = "label", .stream = "kitchen", .run = 1};
    assert_int_equal(sequences_follow(&s, &m), 0);
    m.seq = 3;
    assert_int_equal(sequences_follow(&s, &m), 2);
    sequences_forget(&s, "label/");
    m.seq = 10;
    assert_int_equal(sequences_follow(&s, &m), 0);
    m.run = 2;
    m.seq = 20;
    assert_int_equal(sequences_follow(&s, &m), 0);
    sequences_finish(&s);
}

static void opening_names_what_is_wrong(void **state)
{
    struct focal *none = (struct focal *)1;
    struct focal_options options = {.data = "nonsense"};
    assert_int_equal(focal_open(&none, &options), -EINVAL);
    assert_null(none);
    assert_non_null(strstr(focal_last_error(), "nonsense"));
    options = (struct focal_options){.data = f.data, .curve_server_public_key = "short"};
    assert_int_equal(focal_open(&none, &options), -EINVAL);
    assert_non_null(strstr(focal_last_error(), "curve_server_public_key"));
    options = (struct focal_options){.data = f.data, .receive_hwm = -1};
    assert_int_equal(focal_open(&none, &options), -EINVAL);
    focal_close(NULL);
}

/* DIRECTORY/RUN/focald is the directory of the fixture's sockets. Makes RUN this user's. */
static void run_in(const struct fixture *fixture, const char *run)
{
    char directory[96], command[300];
    snprintf(directory, sizeof directory, "%s/%s", fixture->directory, run);
    snprintf(command, sizeof command, "mkdir -p %s && ln -sfn .. %s/focald", directory, directory);
    assert_int_equal(system(command), 0);
    setenv("XDG_RUNTIME_DIR", directory, 1);
}

static void leave(const struct fixture *fixture, const char *run)
{
    char place[128];
    snprintf(place, sizeof place, "%s/%s/focald", fixture->directory, run);
    assert_int_equal(unlink(place), 0);
}

static void endpoints_come_from_the_environment(void **state)
{
    struct focal *from;
    char *reply;
    setenv("FOCALD_CONTROL", f.control, 1);
    assert_int_equal(focal_open(&from, NULL), 0);
    assert_int_equal(focal_request(from, "{\"cmd\":\"ping\"}", &reply, 5000), 0);
    free(reply);
    focal_close(from);
    unsetenv("FOCALD_CONTROL");

    run_in(&f, "run");
    assert_int_equal(focal_open(&from, NULL), 0);
    assert_int_equal(focal_request(from, "{\"cmd\":\"ping\"}", &reply, 5000), 0);
    free(reply);
    focal_close(from);
}

/* What a user's daemon has comes first, and the system's when there is none of the user's. */
static void endpoints_are_found_by_name(void **state)
{
    char directory[128], ret[128], want[256];
    struct focal *none;
    (void)state;
    snprintf(directory, sizeof directory, "%s/named", f.directory);
    assert_int_equal(mkdir(directory, 0700), 0);
    setenv("XDG_RUNTIME_DIR", f.directory, 1);
    setenv("FOCALD_DATA", "tcp://10.0.0.1:5", 1);
    assert_int_equal(focal_endpoint(ret, sizeof ret, NULL, "data"), 0);
    assert_string_equal(ret, "tcp://10.0.0.1:5");
    assert_int_equal(focal_endpoint(ret, sizeof ret, NULL, "control"), 0);
    snprintf(want, sizeof want, "ipc://%s/focald/control", f.directory);
    const bool of_root = geteuid() == 0 || access("/run/focald/control", F_OK) == 0;
    assert_string_equal(ret, of_root ? "ipc:///run/focald/control" : want);
    unsetenv("XDG_RUNTIME_DIR");
    assert_int_equal(focal_endpoint(ret, sizeof ret, "named", "data"), 0);
    assert_string_equal(ret, "ipc:///run/named/data"); /* the environment is of another one */
    setenv("XDG_RUNTIME_DIR", f.directory, 1);
    snprintf(directory, sizeof directory, "%s/named/data", f.directory);
    snprintf(want, sizeof want, "ipc://%s", directory);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(focal_endpoint(ret, sizeof ret, "named", "data"), 0);
    assert_string_equal(ret, want);
    assert_int_equal(focal_endpoint(ret, strlen(want) + 1, "named", "data"), 0);
    assert_int_equal(focal_endpoint(ret, strlen(want), "named", "data"), -ENAMETOOLONG);
    assert_string_equal(ret, "");
    unsetenv("FOCALD_DATA");

    assert_int_equal(focal_endpoint(ret, sizeof ret, "", "data"), -EINVAL);
    assert_int_equal(focal_endpoint(ret, sizeof ret, "../named", "data"), -EINVAL);
    assert_int_equal(focal_endpoint(ret, sizeof ret, "named", "lock"), -EINVAL);

    char endless[600];
    memset(endless, 'a', sizeof endless);
    memcpy(endless, "ipc:///", 7);
    endless[sizeof endless - 1] = '\0';
    assert_int_equal(focal_open(&none, &(struct focal_options){.data = endless}), -ENAMETOOLONG);
    assert_non_null(strstr(focal_last_error(), "data endpoint is longer than 511 characters"));
}

static void hears(struct fixture *from, struct outbox *by, uint64_t first)
{
    struct focal_message got;
    assert_true(wait_until(publisher_wants(from->publisher, 0, TOPIC_INPUT)));
    fixture_send_input(by, 0, first, 1);
    assert_int_equal(focal_next(focal, &got, 5000), 1);
    assert_int_equal(got.first, first);
    assert_int_equal(got.lost, 0);
}

static bool is_at(const struct fixture *fixture)
{
    struct focal_message none;
    assert_int_equal(focal_next(focal, &none, 20), 0);
    return strstr(focal_where(focal), fixture->directory) != NULL;
}

static void asks(struct fixture *of)
{
    const int before = atomic_load(&of->requests);
    char *reply = NULL;
    assert_int_equal(focal_request(focal, "{\"cmd\":\"status\"}", &reply, 5000), 0);
    free(reply);
    assert_int_equal(atomic_load(&of->requests), before + 1);
}

static void a_daemon_that_speaks_elsewhere_is_followed(void **state)
{
    struct fixture other;
    struct outbox *others;
    (void)state;
    fixture_init(&other);
    fixture_start(&other);
    assert_int_equal(outbox_create(&others, other.publisher, 64, 64 * 1024, NULL), 0);
    focal_close(focal);
    run_in(&f, "here");
    assert_int_equal(focal_open(&focal, NULL), 0);
    assert_int_equal(focal_subscribe(focal, "input/"), 0);
    hears(&f, outbox, 100);
    asks(&f);

    run_in(&other, "there"); /* what was heard is still there: at once */
    const int64_t came = fixture_now_ms();
    assert_true(wait_until(is_at(&other)));
    assert_in_range(fixture_now_ms() - came, 0, 4500);
    hears(&other, others, 200);
    asks(&other);
    assert_true(wait_until(!publisher_wants(f.publisher, 0, TOPIC_INPUT)));

    leave(&other, "there"); /* it may come back */
    run_in(&f, "here");
    const int64_t went = fixture_now_ms();
    assert_true(wait_until(is_at(&f)));
    assert_in_range(fixture_now_ms() - went, 4900, 9000);
    hears(&f, outbox, 300);
    asks(&f);
    fixture_finish(&other);
}

/* The only daemon is away for long: there is nothing to go to. */
static void a_daemon_that_is_away_is_waited_for(void **state)
{
    (void)state;
    focal_close(focal);
    run_in(&f, "here");
    assert_int_equal(focal_open(&focal, NULL), 0);
    assert_int_equal(focal_subscribe(focal, "input/"), 0);
    hears(&f, outbox, 100);
    leave(&f, "here");
    for (int64_t until = fixture_now_ms() + 7500; fixture_now_ms() < until;)
        assert_true(is_at(&f));
    run_in(&f, "here");
    asks(&f);
    assert_true(is_at(&f));
}

static void who_only_asks_finds_it_too(void **state)
{
    struct fixture other;
    (void)state;
    fixture_init(&other);
    fixture_start(&other);
    focal_close(focal);
    run_in(&f, "here");
    assert_int_equal(focal_open(&focal, NULL), 0);
    asks(&f);
    leave(&f, "here");
    run_in(&other, "there");
    fixture_sleep_ms(5500);
    asks(&other);
    /* and while it waits for an answer */
    leave(&other, "there");
    run_in(&f, "here");
    fixture_sleep_ms(1200);
    char *reply = NULL;
    fixture_finish(&other);
    assert_int_equal(focal_request(focal, "{\"cmd\":\"status\"}", &reply, 9000), 0);
    free(reply);
    assert_non_null(strstr(focal_where(focal), f.directory));
}

/* What turns the knobs belongs to what is heard. */
static void control_lies_beside_data(void **state)
{
    char *reply = NULL;
    (void)state;
    focal_close(focal);
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    assert_int_equal(focal_open(&focal, &(struct focal_options){.data = f.data}), 0);
    asks(&f);
    focal_close(focal);
    setenv("FOCALD_DATA", f.data, 1);
    assert_int_equal(focal_open(&focal, NULL), 0);
    asks(&f);
    focal_close(focal);
    unsetenv("FOCALD_DATA");
    assert_int_equal(focal_open(&focal, &(struct focal_options){.data = "tcp://127.0.0.1:1"}), 0);
    assert_int_equal(focal_request(focal, "{}", &reply, 100), -EDESTADDRREQ);
    assert_non_null(strstr(focal_error(focal), "FOCALD_CONTROL"));
}

/* Makes a socket file that nobody listens at. */
static void make_stale(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void what_a_killed_daemon_left_hides_no_other(void **state)
{
    char name[64], directory[96], path[192], ret[128];
    (void)state;
    snprintf(name, sizeof name, "focald-test-%d", (int)getpid());
    snprintf(directory, sizeof directory, "/run/%s", name);
    if (mkdir(directory, 0700) != 0) {
        print_message("skipped: %s cannot be made\n", directory);
        skip();
    }
    setenv("XDG_RUNTIME_DIR", f.directory, 1);
    snprintf(path, sizeof path, "%s/%s", f.directory, name);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/%s/data", f.directory, name);
    make_stale(path);
    assert_int_equal(focal_endpoint(ret, sizeof ret, name, "data"), 0);
    assert_string_equal(ret + 6, path); /* there is no other */
    snprintf(path, sizeof path, "%s/data", directory);
    make_stale(path);
    assert_int_equal(focal_endpoint(ret, sizeof ret, name, "data"), 0);
    unlink(path);
    rmdir(directory);
    assert_string_equal(ret + 6, path);
}

static void a_place_that_was_said_stays(void **state)
{
    (void)state;
    assert_int_equal(focal_subscribe(focal, "input/"), 0);
    hears(&f, outbox, 1);
    struct fixture other;
    fixture_init(&other);
    fixture_start(&other);
    run_in(&other, "there");
    for (int64_t until = fixture_now_ms() + 2500; fixture_now_ms() < until;)
        assert_true(is_at(&f));
    hears(&f, outbox, 2);
    asks(&f);
    fixture_finish(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_come_with_header_and_payload, setup, teardown),
        cmocka_unit_test_setup_teardown(payloads_are_aligned_whatever_their_size, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_ends_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_descriptor_tells_of_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(a_signal_ends_the_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_gets_its_own_reply, setup, teardown),
        cmocka_unit_test_setup_teardown(no_daemon_is_a_timeout_that_names_the_socket, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_client_outlives_the_daemon, setup, teardown),
        cmocka_unit_test_setup_teardown(a_machine_that_went_away_silently_is_noticed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(strange_messages_are_dropped_and_told, setup, teardown),
        cmocka_unit_test(what_was_not_subscribed_to_is_not_lost),
        cmocka_unit_test_setup_teardown(opening_names_what_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(endpoints_come_from_the_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(endpoints_are_found_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_daemon_that_speaks_elsewhere_is_followed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_daemon_that_is_away_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(who_only_asks_finds_it_too, setup, teardown),
        cmocka_unit_test_setup_teardown(control_lies_beside_data, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_killed_daemon_left_hides_no_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_place_that_was_said_stays, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
