/* SPDX-License-Identifier: Apache-2.0
 * The publisher with real sockets: who wants what, info, numbers and losses, and its end. */
#include "tests/ipc/fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

static struct fixture f;

static int setup(void **state)
{
    fixture_init(&f);
    fixture_start(&f);
    return 0;
}

static int teardown(void **state)
{
    fixture_finish(&f);
    return 0;
}

static struct outbox *new_outbox(int slots, size_t bytes)
{
    struct outbox *outbox;
    struct error error;
    assert_int_equal(outbox_create(&outbox, f.publisher, slots, bytes, &error), 0);
    return outbox;
}

static void what_nobody_wants_is_not_wanted(void **state)
{
    for (int t = 0; t < TOPIC_COUNT; t++)
        assert_false(publisher_wants(f.publisher, 0, (enum topic)t));
    struct subscriber a = fixture_subscribe(f.data, "label/kit");
    struct subscriber b = fixture_subscribe(f.data, "label/kit");
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_LABEL)));
    assert_false(publisher_wants(f.publisher, 1, TOPIC_LABEL));
    assert_false(publisher_wants(f.publisher, 0, TOPIC_AUDIO));
    assert_int_equal(zmq_setsockopt(a.socket, ZMQ_UNSUBSCRIBE, "label/kit", 9), 0);
    fixture_sleep_ms(100);
    assert_true(publisher_wants(f.publisher, 0, TOPIC_LABEL)); /* b still does */
    subscriber_close(&b);
    assert_true(wait_until(!publisher_wants(f.publisher, 0, TOPIC_LABEL)));
    subscriber_close(&a);
}

static int subscribe_for_ever(const char *endpoint)
{
    fixture_subscribe(endpoint, "audio/");
    fixture_ready();
    while (pause() != 0) {
    }
    return 0;
}

static void a_crashed_subscriber_wants_nothing(void **state)
{
    pid_t pid = fixture_spawn("--subscribe", f.data);
    assert_true(wait_until(publisher_wants(f.publisher, 1, TOPIC_AUDIO)));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(wait_until(!publisher_wants(f.publisher, 1, TOPIC_AUDIO)));
}

static void messages_arrive_whole_and_numbered(void **state)
{
    struct outbox *outbox = new_outbox(64, 400);
    struct subscriber s = fixture_subscribe(f.data, "input/garden");
    assert_true(wait_until(publisher_wants(f.publisher, 1, TOPIC_INPUT)));
    for (uint64_t i = 0; i < 50; i++) {
        fixture_send_input(outbox, 1, i * 100, 100);
        fixture_send_input(outbox, 0, i * 100, 100); /* not subscribed to */
        struct received r;
        assert_true(subscriber_next(&s, &r, 5000));
        assert_string_equal(r.topic, "input/garden");
        assert_int_equal(received_int(&r, "seq"), i);
        assert_int_equal(received_int(&r, "first"), i * 100);
        assert_int_equal(received_int(&r, "count"), 100);
        assert_int_equal(r.payload_bytes, 400);
        float sample;
        memcpy(&sample, r.payload + 4 * 99, sizeof sample);
        assert_true(sample == (float)(i * 100 + 99) / 1e6f);
        received_clear(&r);
    }
    assert_int_equal(publisher_dropped(f.publisher), 0);
    subscriber_close(&s);
}

static int block_thread(void *user, const json_t *request, uint64_t ticket, json_t **ret,
                        struct error *error)
{
    atomic_bool *gates = user; /* [0] inside, [1] may leave */
    atomic_store(&gates[0], true);
    while (!atomic_load(&gates[1]))
        fixture_sleep_ms(1);
    *ret = json_object();
    return 0;
}

static void a_full_outbox_spends_the_numbers_it_drops(void **state)
{
    atomic_bool gates[2] = {false, false};
    struct fixture g;
    fixture_init(&g);
    g.config.request = block_thread;
    g.config.user = gates;
    fixture_start(&g);
    struct outbox *outbox;
    assert_int_equal(outbox_create(&outbox, g.publisher, 4, 40, NULL), 0);
    struct subscriber s = fixture_subscribe(g.data, "input/");
    assert_true(wait_until(publisher_wants(g.publisher, 0, TOPIC_INPUT)));

    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    assert_int_equal(zmq_connect(socket, g.control), 0);
    zmq_send(socket, "{\"cmd\":\"block\"}", 15, 0); /* the ipc thread stands still */
    assert_true(wait_until(atomic_load(&gates[0])));
    for (uint64_t i = 0; i < 10; i++)
        fixture_send_input(outbox, 0, i * 10, 10);
    assert_int_equal(publisher_dropped(g.publisher), 6);
    atomic_store(&gates[1], true);

    struct received r;
    for (int64_t i = 0; i < 4; i++) {
        assert_true(subscriber_next(&s, &r, 5000));
        assert_int_equal(received_int(&r, "seq"), i);
        received_clear(&r);
    }
    assert_true(wait_until((fixture_send_input(outbox, 0, 100, 10), subscriber_next(&s, &r, 100))));
    assert_int_equal(received_int(&r, "seq"), 10); /* 4 to 9 are seen to be missing */
    received_clear(&r);
    int zero = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_close(socket);
    zmq_ctx_term(context);
    subscriber_close(&s);
    fixture_finish(&g);
}

static void a_taken_message_is_zeroed_once_and_kept(void **state)
{
    struct outbox *outbox = new_outbox(2, 64);
    struct message *m = outbox_take(outbox);
    assert_int_equal(m->payload_capacity, 64);
    assert_int_equal((uintptr_t)m->payload % 64, 0);
    m->first = 5;
    assert_ptr_equal(outbox_take(outbox), m);
    assert_int_equal(m->first, 5);
    m->topic = TOPIC_HEALTH;
    outbox_send(outbox);
    assert_int_equal(outbox_take(outbox)->first, 0);
}

static void set_model(const char *model)
{
    json_t *fields = json_pack("{s:s,s:[s,s]}", "model", model, "labels", "dog", "rooster");
    assert_int_equal(publisher_set_info(f.publisher, 0, fields), 0);
    json_decref(fields);
}

static void expect_info(struct subscriber *s, const char *model)
{
    struct received r;
    assert_true(subscriber_next(s, &r, 5000));
    assert_string_equal(r.topic, "info/kitchen");
    assert_string_equal(json_string_value(json_object_get(r.header, "model")), model);
    assert_int_equal(r.payload_bytes, 0);
    received_clear(&r);
}

static void info_comes_on_subscribing_and_on_change(void **state)
{
    struct received r;
    set_model("one");
    struct subscriber a = fixture_subscribe(f.data, "info/");
    expect_info(&a, "one");
    struct subscriber b = fixture_subscribe(f.data, "info/"); /* the same prefix again */
    expect_info(&b, "one");
    expect_info(&a, "one");
    set_model("two");
    expect_info(&a, "two");
    expect_info(&b, "two");
    set_model("two"); /* no change */
    assert_false(subscriber_next(&a, &r, 200));
    subscriber_close(&a);
    subscriber_close(&b);
}

static void expect_span(struct subscriber *s, uint64_t first, int64_t t_ns)
{
    struct received r;
    set_model(first == 0 ? "none yet" : "some");
    assert_true(subscriber_next(s, &r, 5000));
    assert_int_equal(received_int(&r, "first"), first);
    assert_int_equal(received_int(&r, "t_ns"), t_ns);
    received_clear(&r);
}

/* The time of health is its own, not its position's. */
static void info_tells_the_span_of_what_was_heard(void **state)
{
    struct outbox *outbox = new_outbox(4, 3200);
    const int64_t t_ns = INT64_C(1700000000000000000);
    struct subscriber s = fixture_subscribe(f.data, "info/");
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_INFO)));
    expect_span(&s, 0, 0);
    fixture_send_input(outbox, 0, 1600, 800);
    struct message *m = outbox_take(outbox);
    m->topic = TOPIC_HEALTH;
    m->first = 2400;
    m->t_wall_ns = t_ns + INT64_C(3600000000000);
    m->health.backend = m->health.precision = "";
    m->health.source_kind = m->health.source_state = "";
    outbox_send(outbox);
    assert_true(wait_until(outbox_empty(outbox)));
    expect_span(&s, 1600, t_ns + 1600 * 62500);
    subscriber_close(&s);
}

static void labels_set_before_a_message_are_in_it(void **state)
{
    struct outbox *outbox = new_outbox(8, 64);
    struct subscriber s = fixture_subscribe(f.data, "event/kitchen");
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_EVENT)));
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "label %d", i);
        json_t *fields = json_pack("{s:[s]}", "labels", name);
        assert_int_equal(publisher_set_info(f.publisher, 0, fields), 0);
        json_decref(fields);
        struct message *m = outbox_take(outbox);
        m->topic = TOPIC_EVENT;
        outbox_send(outbox);
        struct received r;
        assert_true(subscriber_next(&s, &r, 5000));
        assert_string_equal(json_string_value(json_object_get(r.header, "label")), name);
        received_clear(&r);
    }
    subscriber_close(&s);
}

enum { WRITERS = 4, EACH = 500 };

static void *write_many(void *user)
{
    struct outbox *outbox = user;
    for (uint64_t i = 0; i < EACH; i++) {
        fixture_send_input(outbox, 0, i, 4);
        if (i % 50 == 49)
            fixture_sleep_ms(1);
    }
    return NULL;
}

static void many_writers_lose_nothing_uncounted(void **state)
{
    pthread_t threads[WRITERS];
    publisher_destroy(f.publisher);
    f.config.send_hwm = WRITERS * EACH; /* so that only outboxes drop */
    fixture_start(&f);
    struct subscriber s = fixture_subscribe(f.data, "input/kitchen");
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_INPUT)));
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, new_outbox(16, 16)), 0);
    bool seen[WRITERS * EACH] = {false};
    uint64_t n = 0;
    struct received r;
    while (n + publisher_dropped(f.publisher) < WRITERS * EACH && subscriber_next(&s, &r, 2000)) {
        int64_t seq = received_int(&r, "seq");
        assert_true(seq >= 0 && seq < WRITERS * EACH && !seen[seq]);
        seen[seq] = true;
        n++;
        received_clear(&r);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    while (subscriber_next(&s, &r, 200)) {
        n++;
        received_clear(&r);
    }
    assert_int_equal(n + publisher_dropped(f.publisher), WRITERS * EACH);
    subscriber_close(&s);
}

static void what_is_queued_is_sent_before_the_end(void **state)
{
    struct outbox *outbox = new_outbox(64, 40);
    struct subscriber s = fixture_subscribe(f.data, "input/");
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_INPUT)));
    for (uint64_t i = 0; i < 32; i++)
        fixture_send_input(outbox, 0, i, 10);
    int64_t before = fixture_now_ms();
    publisher_destroy(f.publisher);
    f.publisher = NULL;
    assert_true(fixture_now_ms() - before < 1000);
    struct received r;
    for (int64_t i = 0; i < 32; i++) {
        assert_true(subscriber_next(&s, &r, 5000));
        assert_int_equal(received_int(&r, "seq"), i);
        received_clear(&r);
    }
    subscriber_close(&s);
}

static void its_end_leaves_no_files(void **state)
{
    char path[96];
    struct stat st;
    static const char *const names[] = {"data", "control", "lock"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", f.directory, names[i]);
        assert_int_equal(stat(path, &st), 0);
        if (i < 2)
            assert_int_equal(st.st_mode & 0777, 0660);
    }
    publisher_destroy(f.publisher);
    f.publisher = NULL;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", f.directory, names[i]);
        assert_int_equal(stat(path, &st), -1);
    }
    publisher_destroy(NULL);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--subscribe") == 0)
        return subscribe_for_ever(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_nobody_wants_is_not_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crashed_subscriber_wants_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_arrive_whole_and_numbered, setup, teardown),
        cmocka_unit_test(a_full_outbox_spends_the_numbers_it_drops),
        cmocka_unit_test_setup_teardown(a_taken_message_is_zeroed_once_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(info_comes_on_subscribing_and_on_change, setup, teardown),
        cmocka_unit_test_setup_teardown(info_tells_the_span_of_what_was_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_set_before_a_message_are_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(many_writers_lose_nothing_uncounted, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_queued_is_sent_before_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(its_end_leaves_no_files, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
